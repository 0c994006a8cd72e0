"""`pm plan`: the phases in their order, where each stands, and which command comes next."""

from dataclasses import dataclass
from typing import Literal

from pm_cutover.phases.run import Run, read_writer

State = Literal["done", "next", "later"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseState:
    """One line of the plan.

    Attributes:
        phase: Its name, the verb of `pm`.
        state: ``done``, ``next`` (run this), or ``later``.
        fact: What the state was read from.
        command: The command line.
    """

    phase: str
    state: State
    fact: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the systems say, for the plan.

    Attributes:
        installed: Both databases have the control schema.
        following: A replication task runs.
        target_percent: The target's share of the traffic.
        target_writes: The target is the open writer.
        finished: `pm finish` has run.
    """

    installed: bool
    following: bool
    target_percent: float
    target_writes: bool
    finished: bool


def plan(run: Run) -> tuple[PhaseState, ...]:
    """The phases of this deployment."""
    writer = read_writer(run)
    replication = run.deployment.replication()
    tasks = (replication.load, replication.forward, replication.reverse)
    return phases_of(
        Facts(
            installed=writer.installed,
            following=any(task.state().running for task in tasks),
            target_percent=run.deployment.traffic().recorded().target_percent,
            target_writes=writer.open == "target",
            finished=writer.finished,
        )
    )


def phases_of(facts: Facts) -> tuple[PhaseState, ...]:
    """The plan from the facts: the first phase that is not done is the next one."""
    share = f"{facts.target_percent:g} % of the traffic goes to the target"
    rows = (
        (
            "replicate",
            facts.finished or (facts.installed and facts.following),
            "a task runs" if facts.following else "no task runs",
            "pm preflight && pm replicate && pm verify",
        ),
        ("shift", facts.finished or facts.target_percent >= 100, share, "pm shift 5,25,50,100 --bake 5m"),
        (
            "cutover",
            facts.finished or facts.target_writes,
            f"the {'target' if facts.target_writes else 'source'} is the writer",
            "pm cutover",
        ),
        (
            "finish",
            facts.finished,
            "the target stands alone" if facts.finished else "the way back is open (pm rollback)",
            "pm finish",
        ),
    )
    result: list[PhaseState] = []
    next_given = False
    for phase, done, fact, command in rows:
        state: State = "done" if done else "later" if next_given else "next"
        next_given = next_given or not done
        result.append(PhaseState(phase=phase, state=state, fact=fact, command=command))
    return tuple(result)
