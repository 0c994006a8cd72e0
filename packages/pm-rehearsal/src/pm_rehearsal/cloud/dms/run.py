"""What watches a task while it runs: lag, progress, validation; and the metrics that come of them."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from pm_rehearsal.cloud.dms import validation
from pm_rehearsal.cloud.dms.checks import TaskError
from pm_rehearsal.cloud.dms.lag import Lag, LagWatch
from pm_rehearsal.cloud.dms.logins import Connection, LoginError
from pm_rehearsal.cloud.dms.mappings import Table
from pm_rehearsal.cloud.dms.mover import Mover
from pm_rehearsal.cloud.dms.progress import Progress

SAMPLE_SECONDS = 0.2
PUBLISH_SECONDS = 1.0
VALIDATE_SECONDS = 5.0
JOIN_SECONDS = 10.0

Metrics = dict[str, float]  # by CloudWatch metric name
Spawn = Callable[[str, Callable[[], None]], threading.Thread]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Validation of one table.

    Attributes:
        state: DMS's word.
        failed_rows: Rows too many or too few on the target.
    """

    state: str
    failed_rows: int = 0


class Run:
    """Watches one run of a task on two threads, so that a frozen target cannot hide the lag that it causes.

    Args:
        mover: Moves the task's rows; started already.
        progress: Where the target's numbers are kept.
        validate: Whether to compare both sides.
        spawn: Starts a thread.
        publish: Takes the metrics, once a second.
        fail: Takes the message of a failure that ends the run.
    """

    def __init__(
        self,
        *,
        mover: Mover,
        progress: Progress,
        validate: bool,
        spawn: Spawn,
        publish: Callable[[Metrics], None],
        fail: Callable[[str], None],
    ) -> None:
        self._mover = mover
        self._progress = progress
        self._publish = publish
        self._fail = fail
        self._validate = validate
        self._stopped = threading.Event()
        self._confirmed = 0
        self._verdicts: dict[Table, Verdict] = {}
        self._threads = [spawn("dms-lag", self._watch_lag), spawn("dms-progress", self._watch_progress)]

    def stop(self) -> None:
        """End both threads; must not be called from one of them."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)

    def abandon(self) -> None:
        """Tell both threads to end, without waiting."""
        self._stopped.set()

    def verdict(self, table: Table) -> Verdict:
        """What validation says about a table."""
        if not self._validate:
            return Verdict(state=validation.NOT_ENABLED)
        return self._verdicts.get(table, Verdict(state=validation.PENDING))

    def _watch_lag(self) -> None:
        plan = self._mover.plan
        watch = LagWatch(source=plan.source.admin, slot=plan.slot)
        rates = _Rates(self._progress)
        published_at = 0.0
        try:
            while not self._stopped.is_set():
                now = time.monotonic()
                lag = watch.sample(now)
                self._confirmed = lag.confirmed
                if now - published_at >= PUBLISH_SECONDS:
                    published_at = now
                    self._publish(rates.metrics(now, lag, watch.changes(self._mover.tables)))
                self._stopped.wait(SAMPLE_SECONDS)
        except TaskError as error:
            if not self._stopped.is_set():  # a slot may well go once the task was told to stop
                self._stopped.set()
                self._fail(str(error))
        finally:
            watch.close()

    def _watch_progress(self) -> None:
        target: Connection | None = None
        validated_at = time.monotonic()
        while not self._stopped.wait(PUBLISH_SECONDS if self._progress.loaded else SAMPLE_SECONDS):
            try:
                if target is None:
                    target = self._mover.plan.target.admin.connect_discreetly()
                self._progress.sample(target, time.time())
                if self._validate and time.monotonic() - validated_at >= VALIDATE_SECONDS and self._progress.loaded:
                    self._compare(target)
                    validated_at = time.monotonic()
            except (psycopg.Error, LoginError):  # the target is away: the lag tells
                if target is not None:
                    target.close()
                target = None
        if target is not None:
            target.close()

    def _compare(self, target: Connection) -> None:
        tables = self._mover.tables
        with self._mover.plan.source.admin.connect_discreetly() as source:
            before = validation.count_source(source, tables)
            deadline = time.monotonic() + VALIDATE_SECONDS
            while self._confirmed < before.position:
                if time.monotonic() > deadline or self._stopped.wait(SAMPLE_SECONDS):
                    return
            there = validation.count(target, tables)
            after = validation.count(source, tables)
        for table in tables:
            failed = validation.mismatched(before.rows[table], there[table], after[table])
            state = validation.MISMATCHED if failed else validation.VALIDATED
            self._verdicts[table] = Verdict(state=state, failed_rows=failed)


class _Rates:
    """Turns growing numbers into metrics."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._last: tuple[float, int, int] | None = None  # when, rows loaded, rows changed on the target
        self._caught_up: tuple[int, int] | None = None  # rows changed on source and target when nothing was under way

    def metrics(self, now_seconds: float, lag: Lag, source_changes: int | None) -> Metrics:
        """The metrics of this second; ``source_changes`` is None while the source is away."""
        loaded, applied = self._progress.loaded_rows, self._progress.changes
        then, loaded_then, applied_then = self._last or (now_seconds - PUBLISH_SECONDS, loaded, applied)
        self._last = (now_seconds, loaded, applied)
        seconds = max(now_seconds - then, SAMPLE_SECONDS)
        metrics = {
            "CDCLatencySource": lag.source_seconds,
            "CDCLatencyTarget": max(lag.source_seconds, lag.target_seconds),
            "CDCThroughputRowsTarget": max(0, applied - applied_then) / seconds,
            "FullLoadThroughputRowsTarget": max(0, loaded - loaded_then) / seconds,
        }
        if source_changes is not None:
            if lag.target_seconds == 0.0 or self._caught_up is None:
                self._caught_up = (source_changes, applied)
            changed, arrived = source_changes - self._caught_up[0], applied - self._caught_up[1]
            metrics["CDCIncomingChanges"] = float(max(0, changed - arrived))
        return metrics
