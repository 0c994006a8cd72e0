"""`pm plan`: the phases in their order, where each stands, and which command comes next."""

from dataclasses import dataclass
from typing import Literal

from pm_cutover.database import Environment
from pm_cutover.errors import RefusedError
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
        moved: The writer has moved before, so that `pm replicate` changes nothing any more.
        following: A task takes the writer's rows to the other side.
        tasks: How the tasks are that could, for example ``reverse is failed (disk full)``.
        dead_end: Why nobody can take the target's rows to the source any more; empty when one can.
        target_percent: The target's share of the traffic.
        target_writes: The target is the open writer.
        finished: `pm finish` has run.
    """

    installed: bool
    moved: bool
    following: bool
    tasks: str
    dead_end: str
    target_percent: float
    target_writes: bool
    finished: bool


def plan(run: Run) -> tuple[PhaseState, ...]:
    """The phases of this deployment."""
    writer = read_writer(run)
    replication = run.deployment.replication()
    target_writes = writer.open == "target"
    origin: Environment = "target" if target_writes else "source"
    try:
        following, tasks = replication.running_from(origin) is not None, replication.describe_from(origin)
    except RefusedError as error:  # a task was deleted: the rest of the plan is true all the same
        following, tasks = False, str(error)
    return phases_of(
        Facts(
            installed=writer.installed,
            moved=writer.moved,
            following=following,
            tasks=tasks,
            dead_end=replication.dead_end(run.target) if target_writes and not writer.finished else "",
            target_percent=run.deployment.traffic().recorded().target_percent,
            target_writes=target_writes,
            finished=writer.finished,
        )
    )


def phases_of(facts: Facts) -> tuple[PhaseState, ...]:
    """The plan from the facts: the first phase that is not done is the next one."""
    share = f"{facts.target_percent:g} % of the traffic goes to the target"
    rows = (
        (
            "replicate",
            facts.finished or (facts.installed and (facts.following or facts.target_writes)),
            "a task runs" if facts.following else f"no task runs: {facts.tasks}",
            "pm rollback && pm verify" if facts.moved else "pm preflight && pm replicate && pm verify",
        ),
        ("shift", facts.finished or facts.target_percent >= 100, share, "pm shift 5,25,50,100 --bake 5m"),
        ("cutover", *_cutover(facts), "pm cutover"),
        ("finish", facts.finished, _finish(facts), "pm finish"),
    )
    result: list[PhaseState] = []
    next_given = False
    for phase, done, fact, command in rows:
        state: State = "done" if done else "later" if next_given else "next"
        next_given = next_given or not done
        result.append(PhaseState(phase=phase, state=state, fact=fact, command=command))
    return tuple(result)


def _cutover(facts: Facts) -> tuple[bool, str]:
    """Whether it is done, and the fact: a cutover has ended when rows flow back."""
    if not facts.target_writes:
        return facts.finished, "the source is the writer"
    if facts.finished or facts.following or facts.dead_end:
        return True, "the target is the writer"
    return False, f"the target is the writer, but replication back does not run: {facts.tasks}"


def _finish(facts: Facts) -> str:
    if facts.finished:
        return "the target stands alone"
    if facts.dead_end:
        return facts.dead_end
    if facts.target_writes and not facts.following:
        return "the way back waits for replication back, which does not run"
    return "the way back is open (pm rollback)"
