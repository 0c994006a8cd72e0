"""`pm cutover` and `pm rollback`: the writer moves, and on the way back the traffic with it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from botocore.exceptions import BotoCoreError, ClientError

from pm_cutover.aws.session import as_pm_error
from pm_cutover.aws.traffic import Weights
from pm_cutover.database import Database, DatabaseUnreachableError
from pm_cutover.errors import PmError, RefusedError
from pm_cutover.evidence import Value
from pm_cutover.phases.gates import firing_alarms
from pm_cutover.phases.run import Run, read_writer
from pm_cutover.phases.shift import set_weights
from pm_cutover.protocol import Limits, Outcome, move_writer

BARRIER_SECONDS = 0.5
LEASE_MARGIN_SECONDS = 1.0
# The load balancers give a request up after 30 s. The lease follows from the drain: when pm dies in it, nobody takes
# writes for as long.
MAX_DRAIN_SECONDS = 60.0
REVERSE_SECONDS = 600.0  # a DMS task takes minutes to start
LAG_WAIT_SECONDS = 30.0
BACK = Weights.of_target(0)

_MOVED = {"moved", "completed", "already"}  # the destination is the writer

# What may befall a verb once the writer has moved. Its outcome must not be lost over that.
_FAILURES = (PmError, BotoCoreError, ClientError)


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackResult:
    """Where a rollback ended.

    Attributes:
        move: The writer's move; None when the source had never been left.
        weights: Weights now; None when the writer could not be moved, so that they were left, or when they cannot be
            read.
    """

    move: Outcome | None
    weights: Weights | None


def limits_of(*, max_lag_seconds: float, drain_seconds: float) -> Limits:
    """The protocol's deadlines from the two that an operator chooses; the lease follows from the drain.

    Raises:
        ValueError: One of them is not above 0, or the drain is longer than MAX_DRAIN_SECONDS.
    """
    if drain_seconds > MAX_DRAIN_SECONDS:
        raise ValueError(
            f"--drain-timeout is {drain_seconds:g} s: at most {MAX_DRAIN_SECONDS:g} s are allowed, for every write "
            "waits as long; wait until replication is closer, see pm status"
        )
    return Limits(
        max_lag_seconds=max_lag_seconds,
        drain_seconds=drain_seconds,
        barrier_seconds=BARRIER_SECONDS,
        lease_seconds=BARRIER_SECONDS + drain_seconds + LEASE_MARGIN_SECONDS,
        lag_wait_seconds=max(LAG_WAIT_SECONDS, max_lag_seconds),
        reverse_seconds=REVERSE_SECONDS,
    )


def cutover(run: Run, *, limits: Limits, dry_run: bool) -> Outcome:
    """Move the writer to the target.

    Returns:
        What it came to; ``unfinished`` also when the target is the writer but that could not be recorded.

    Raises:
        RefusedError: An alarm fires and a new move would begin, or the migration is finished. What an earlier move left
            half done was taken back or completed all the same.
    """
    with run.alone():
        if read_writer(run).finished:
            raise RefusedError("the migration is finished (pm finish has run): the target is the writer for good")
        outcome = _move(run, run.source, run.target, limits=limits, dry_run=dry_run, gate=lambda: _check_alarms(run))
        try:
            _record(run, outcome)
        except _FAILURES as error:
            if outcome.result == "ready":
                raise
            return _failed_after(outcome, error, "run `pm cutover` again")
        return outcome


def _check_alarms(run: Run) -> None:
    firing = firing_alarms(run)
    if firing:
        raise RefusedError(
            f"alarm {', '.join(alarm.name for alarm in firing)} fires ({firing[0].reason}): nothing was moved; its "
            "section in docs/runbook.md says what to do, `pm status` shows replication and writer"
        )


def rollback(run: Run, *, limits: Limits) -> RollbackResult:
    """Move the writer back to the source if it is not there, then all traffic.

    Returns:
        Where it ended; its move is ``unfinished`` also when the source is the writer but the rest failed.

    Raises:
        RefusedError: The migration is finished, so that the source is behind for good.
        DatabaseUnreachableError: A database does not answer: the writer moves only while both do.
    """
    try:
        with run.alone():
            return _rollback(run, limits=limits)
    except DatabaseUnreachableError as error:
        error.add_note(
            "`pm shift 0` needs one database only: while the source is the writer, it sends all traffic back"
        )
        raise


def _rollback(run: Run, *, limits: Limits) -> RollbackResult:
    writer = read_writer(run)
    if writer.finished:
        raise RefusedError(
            "the migration is finished (pm finish has run): the source no longer follows, there is no way back; "
            "to return, deploy a new pair of environments in the other direction"
        )
    if not writer.installed:
        set_weights(run, run.deployment.traffic(), BACK)
        return RollbackResult(move=None, weights=BACK)
    outcome = _move(run, run.target, run.source, limits=limits, dry_run=False)
    try:
        _record(run, outcome)
        if outcome.result not in _MOVED:
            return RollbackResult(move=outcome, weights=None)
        set_weights(run, run.deployment.traffic(), BACK)
        # A cutover that died before its pause has left a slot that nobody will read.
        run.deployment.replication().discard_slot(run.target)
    except _FAILURES as error:
        weights = _weights_now(run)
        left = f"the weights are {weights or 'not known'} (source/target): run `pm rollback` again"
        if weights != BACK:
            left += ", or `pm shift 0` for the traffic alone"
        return RollbackResult(move=_failed_after(outcome, error, left), weights=weights)
    return RollbackResult(move=outcome, weights=BACK)


def _weights_now(run: Run) -> Weights | None:
    try:
        return run.deployment.traffic().recorded()
    except _FAILURES:
        return None


def outcome_facts(outcome: Outcome) -> dict[str, Value]:
    """An outcome as JSON: its fields, and each step with its name, start and milliseconds."""
    facts: dict[str, Value] = asdict(outcome)
    facts["remarks"] = list(outcome.remarks)
    facts["steps"] = [
        {"name": step.name, "started_at": round(step.started_at, 6), "milliseconds": round(step.milliseconds, 3)}
        for step in outcome.steps
    ]
    return facts


def _move(
    run: Run, a: Database, b: Database, *, limits: Limits, dry_run: bool, gate: Callable[[], None] | None = None
) -> Outcome:
    run.progress.step(f"moving the writer {a.name} -> {b.name}" + (" (dry run)" if dry_run else ""))
    outcome = move_writer(a, b, replication=run.deployment.replication(), limits=limits, gate=gate, dry_run=dry_run)
    run.progress.step(f"{outcome.result} after {', '.join(step.name for step in outcome.steps)}")
    return outcome


def _record(run: Run, outcome: Outcome) -> None:
    run.evidence.record("move", outcome_facts(outcome))


def _failed_after(outcome: Outcome, error: Exception, left: str) -> Outcome:
    """The outcome of a verb that failed after its move; a person is needed when the writer has moved."""
    failure = as_pm_error(error) if isinstance(error, BotoCoreError | ClientError) else error
    if outcome.result not in _MOVED:
        return replace(outcome, reason=f"{outcome.reason}; {failure}")
    reason = f"the {outcome.destination} is the writer (epoch {outcome.epoch}), but: {failure}; {left}"
    return replace(outcome, result="unfinished", reason=reason)
