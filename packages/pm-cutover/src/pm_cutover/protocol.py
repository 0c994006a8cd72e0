"""Moves the one open writer from one database to the other; cutover and rollback are the same code.

At any instant at most one database admits application writes: the new one opens only after the old one is sealed, and
the old one is sealed only when everything it ever acknowledged has arrived. There is no journal: every run reads off
the two databases what an earlier one has done. An engine that dies before the seal stops nobody for longer than the
lease; one that dies between seal and opening (two commits) leaves no writer until the next run, which begins by
reopening the old one: a database cannot lift its own seal without knowing that the other one never opened.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from pm_cutover.control import handoff_of
from pm_cutover.database import Database, cut_after
from pm_cutover.errors import PersonNeededError, PmError
from pm_cutover.replication import DeadEndError, Replication
from pm_cutover.steps import pause, reverse
from pm_cutover.steps.limits import Limits
from pm_cutover.steps.locks import EngineBusyError, engine_lock
from pm_cutover.steps.markers import MarkerTimeoutError, marker_round_trip
from pm_cutover.steps.move import Move
from pm_cutover.steps.outcome import Moment, Observer, Outcome, Result, StepTiming
from pm_cutover.steps.preflight import preflight
from pm_cutover.steps.takeover import lock, recover

__all__ = [
    "STEP_NAMES",
    "Limits",
    "Moment",
    "Observer",
    "Outcome",
    "Result",
    "StepTiming",
    "EngineBusyError",
    "MarkerTimeoutError",
    "engine_lock",
    "marker_round_trip",
    "move_writer",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    name: str
    run: Callable[[Move], None]


_LOCK = _Step(name="lock", run=lock)
_PREFLIGHT = _Step(name="preflight", run=preflight)
_PAUSE = (
    _Step(name="fence", run=pause.fence),
    _Step(name="barrier", run=pause.barrier),
    _Step(name="drain", run=pause.drain),
    _Step(name="seal", run=pause.seal),
    _Step(name="sequences", run=pause.sequences),
    _Step(name="handoff", run=pause.handoff),
    _Step(name="open", run=pause.open_writer),
)
_RELEASE = _Step(name="release", run=pause.release)
_AFTERWARDS = (_Step(name="stop", run=reverse.stop), _Step(name="start", run=reverse.start))

STEP_NAMES = tuple(step.name for step in (_LOCK, _PREFLIGHT, *_PAUSE, _RELEASE, *_AFTERWARDS))
"""The steps in the order in which they run."""

_GRACE_SECONDS = 0.5

# What databases and replication can do to a step; anything else is a defect and may show itself as such.
_FAILURES = (PmError, psycopg.Error)


def move_writer(
    a: Database,
    b: Database,
    *,
    replication: Replication,
    limits: Limits,
    gate: Callable[[], None] | None = None,
    observer: Observer | None = None,
    dry_run: bool = False,
) -> Outcome:
    """Move the open writer from ``a`` to ``b``: cutover is source -> target, rollback target -> source.

    Safe to run again after any death of an earlier run, and when there is nothing to do.

    Args:
        a: The database to move from.
        b: The database to move to.
        replication: Moves rows between them.
        limits: Deadlines.
        gate: Raises when nothing may be moved now. Asked only when a move is about to begin: what an earlier
            one left half done is taken back or completed before, for it may be what keeps the gate closed.
        observer: Sees each step, see Observer.
        dry_run: End after the preflight.

    Returns:
        What it came to; what databases and replication do is never raised. See Outcome.

    Raises:
        KeyboardInterrupt: As everywhere; the old writer was reopened before, if the new one was not open.
        Exception: What ``gate`` raises; nothing was moved.
    """
    move = Move(a=a, b=b, replication=replication, limits=limits)
    try:
        return _Run(move=move, gate=gate, observer=observer or _nobody).whole(dry_run=dry_run)
    finally:
        move.close()


def _nobody(name: str, moment: Moment) -> None:
    """Look away."""


@dataclass(slots=True, kw_only=True)
class _Run:
    move: Move
    gate: Callable[[], None] | None
    observer: Observer
    timings: list[StepTiming] = field(default_factory=list)
    fenced_at: float | None = None
    pause_ms: float | None = None
    current: str = ""

    def whole(self, *, dry_run: bool) -> Outcome:
        move = self.move
        try:
            self._step(_LOCK)
        except PersonNeededError as error:
            return self._outcome("unfinished", error)
        except _FAILURES as error:
            return self._outcome("refused", error)
        if move.b_is_writer:
            return self._afterwards(moved=False)
        if self.gate is not None:
            self.gate()
        try:
            self._step(_PREFLIGHT)
        except _FAILURES as error:
            return self._outcome("refused", error, note=self._discard_slot())
        if dry_run:
            return self._outcome("ready", note=self._discard_slot())
        failure = self._pause()
        if isinstance(failure, PersonNeededError):
            return self._outcome("unfinished", failure)
        if not move.b_is_writer:
            return self._outcome("aborted", failure, note=self._discard_slot())
        self._step(_RELEASE)
        return self._afterwards(moved=True)

    def _pause(self) -> PmError | psycopg.Error | None:
        """Steps 3 to 9. After a failure there is one writer again: ``b`` if ``b_is_writer``, else ``a``.

        Returns:
            The failure, a PersonNeededError when it is not known which database is open.
        """
        move, failure = self.move, None
        sessions, lease_seconds = move.sessions, move.limits.lease_seconds
        self.fenced_at, started = time.time(), time.perf_counter()
        try:
            # The others are cut first: while its own session lives, the old writer can be reopened at once.
            with (
                cut_after(lease_seconds, sessions.b, sessions.barrier),
                cut_after(lease_seconds + _GRACE_SECONDS, sessions.a),
            ):
                for step in _PAUSE:
                    self._step(step)
        except KeyboardInterrupt:
            recover(move)
            raise
        except _FAILURES as error:
            failure = error
            try:
                recover(move)
            except PersonNeededError as unknown:
                return unknown
        self.pause_ms = (time.perf_counter() - started) * 1000
        return failure

    def _afterwards(self, *, moved: bool) -> Outcome:
        move = self.move
        try:
            with cut_after(move.limits.recovery_seconds, move.sessions.b):
                handoff = handoff_of(move.sessions.b, epoch=move.epoch + 1)
            if handoff is None and not moved:
                return self._outcome("already")  # it never moved: there is no direction to turn round
            for step in _AFTERWARDS:
                self._step(step)
        except DeadEndError as error:
            return self._outcome("unfinished", error, note=f"{move.b.name} is the writer")
        except _FAILURES as error:
            return self._outcome(
                "unfinished",
                error,
                note=f"{move.b.name} is the writer; run the same command again to complete replication back",
            )
        return self._outcome("moved" if moved else "completed" if move.changed else "already")

    def _discard_slot(self) -> str:
        """Nobody will read the slot that the preflight made; a failure to drop it is worth a remark, not an error."""
        try:
            self.move.replication.discard_slot(self.move.b)
        except _FAILURES as error:
            return f"the slot prepared on {self.move.b.name} is still there and keeps WAL: {error}"
        return ""

    def _step(self, step: _Step) -> None:
        self.current = step.name
        self.observer(step.name, "before")
        started_at, started = time.time(), time.perf_counter()
        step.run(self.move)
        milliseconds = (time.perf_counter() - started) * 1000
        self.timings.append(StepTiming(name=step.name, started_at=started_at, milliseconds=milliseconds))
        self.observer(step.name, "after")

    def _outcome(self, result: Result, error: Exception | None = None, *, note: str = "") -> Outcome:
        move = self.move
        opened_at = None
        if self.fenced_at is not None and self.pause_ms is not None:
            opened_at = self.fenced_at + self.pause_ms / 1000
        return Outcome(
            result=result,
            origin=move.a.name,
            destination=move.b.name,
            epoch=move.epoch + 1 if move.b_is_writer else move.epoch,
            fenced_at=self.fenced_at,
            opened_at=opened_at,
            pause_ms=self.pause_ms,
            steps=tuple(self.timings),
            reason="; ".join(part for part in ("" if error is None else self._reason(error), note) if part),
            remarks=tuple(move.remarks),
        )

    def _reason(self, error: Exception) -> str:
        if isinstance(error, psycopg.Error):
            return f"step {self.current}: {error.diag.message_primary or str(error).strip()}"
        return str(error)
