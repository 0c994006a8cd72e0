"""What an operator types after a stack was deployed: a deployment of what waited for it, or the engine's next verb."""

from collections.abc import Mapping
from dataclasses import dataclass

from pm_core import MigrationPhase

# Every stack by its id, with the ids of those that it needs.
Needs = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NextCommand:
    """A line for a shell.

    Attributes:
        line: The line.
        description: What it does, and when it is the next one.
    """

    line: str
    description: str


# Once everything is deployed. `pm plan` says the same from the systems themselves.
IN_PHASE: Mapping[MigrationPhase, NextCommand] = {
    "prepare": NextCommand(
        line="pm preflight && pm replicate",
        description="Everything is deployed: checks, then starts the load; set migrationPhase to replicate before.",
    ),
    "replicate": NextCommand(
        line="pm verify && pm shift 5,25,50,100 --bake 5m",
        description="Once the load is complete: compares the rows, then shifts requests; set migrationPhase to shift.",
    ),
    "shift": NextCommand(
        line="pm shift 5,25,50,100 --bake 5m && pm cutover --dry-run",
        description="Shifts the rest of the requests, then says what would move; set migrationPhase to cutover.",
    ),
    "cutover": NextCommand(
        line="pm cutover && pm status",
        description="Moves the writer. Days later `pm finish`, then migrationPhase complete.",
    ),
    "complete": NextCommand(
        line="cdk destroy --exclusively operator-target replication-target '*-source'",
        description="After compute-target was deployed in this phase: the source and the way back are gone for good.",
    ),
}


def next_command(stack: str, needs: Needs, phase: MigrationPhase) -> NextCommand:
    """What comes after ``stack``: of those that need it the first in the order of deployment, else the engine.

    Args:
        stack: Id of the stack.
        needs: Every stack of the deployment.
        phase: Where the migration stands.
    """
    waiting = [one for one, needed in needs.items() if stack in needed]
    if not waiting:
        return IN_PHASE[phase]
    steps = {one: _step(one, needs) for one in waiting}
    following = [one for one in waiting if steps[one] == min(steps.values())]
    return NextCommand(
        line=f"cdk deploy {' '.join(following)}",
        description=f"Deploys what waited for {stack}, and whatever else that needs.",
    )


def _step(stack: str, needs: Needs) -> int:
    """How many deployments have to come before the stack's own, one after the other."""
    return max((_step(needed, needs) + 1 for needed in needs[stack]), default=0)
