"""What watches a task while it runs: lag and progress, and the metrics that come of them and of validation."""

import resource
import sys
import threading
import time
from collections.abc import Callable

import psycopg

from pm_rehearsal.cloud.dms.checks import TaskError
from pm_rehearsal.cloud.dms.lag import Lag, LagWatch
from pm_rehearsal.cloud.dms.logins import Connection, LoginError
from pm_rehearsal.cloud.dms.mappings import Table
from pm_rehearsal.cloud.dms.mover import Mover
from pm_rehearsal.cloud.dms.progress import Progress
from pm_rehearsal.cloud.dms.settings import TaskSettings
from pm_rehearsal.cloud.dms.validation import NOT_ENABLED, Verdict
from pm_rehearsal.cloud.dms.validator import Validator

SAMPLE_SECONDS = 0.2
PUBLISH_SECONDS = 1.0
JOIN_SECONDS = 10.0

Metrics = dict[str, float]  # by CloudWatch metric name
Spawn = Callable[[str, Callable[[], None]], threading.Thread]


class Run:
    """Watches one run of a task, lag apart from progress, so that a frozen target cannot hide the lag that it causes.

    Args:
        mover: Moves the task's rows; started already.
        progress: Where the target's numbers are kept.
        settings: The task's.
        task: The last part of the task's ARN.
        spawn: Starts a thread.
        publish: Takes the metrics, once a second.
        fail: Takes the message of a failure that ends the run.
    """

    def __init__(
        self,
        *,
        mover: Mover,
        progress: Progress,
        settings: TaskSettings,
        task: str,
        spawn: Spawn,
        publish: Callable[[Metrics], None],
        fail: Callable[[str], None],
    ) -> None:
        self._mover = mover
        self._progress = progress
        self._publish = publish
        self._fail = fail
        self._stopped = threading.Event()
        self._confirmed = 0
        self._validator = (
            Validator(
                mover=mover,
                progress=progress,
                settings=settings.validation,
                control_schema=settings.control_schema,
                task=task,
                confirmed=lambda: self._confirmed,
                stopped=self._stopped,
            )
            if settings.validation is not None
            else None
        )
        self._threads = [spawn("dms-lag", self._watch_lag), spawn("dms-progress", self._watch_progress)]
        if self._validator is not None:
            self._threads.append(spawn("dms-validation", self._validator.run))

    def stop(self) -> None:
        """End every thread; must not be called from one of them."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)

    def abandon(self) -> None:
        """Tell every thread to end, without waiting."""
        self._stopped.set()

    def verdict(self, table: Table) -> Verdict:
        """What validation says about a table."""
        return Verdict(state=NOT_ENABLED) if self._validator is None else self._validator.verdict(table)

    def revalidate(self, table: Table) -> None:
        """Validate a table anew.

        Raises:
            TaskError: The task validates nothing.
        """
        if self._validator is None:
            raise TaskError("validation is not enabled for this task: set ValidationSettings.EnableValidation")
        self._validator.revalidate(table)

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
                    metrics = rates.metrics(now, lag, watch.changes(self._mover.tables))
                    if self._validator is not None:
                        metrics |= self._validator.metrics()
                    self._publish(metrics)
                self._stopped.wait(SAMPLE_SECONDS)
        except TaskError as error:
            if not self._stopped.is_set():  # a slot may well go once the task was told to stop
                self._stopped.set()
                self._fail(str(error))
        finally:
            watch.close()

    def _watch_progress(self) -> None:
        target: Connection | None = None
        while not self._stopped.wait(PUBLISH_SECONDS if self._progress.loaded else SAMPLE_SECONDS):
            try:
                if target is None:
                    target = self._mover.plan.target.admin.connect_discreetly()
                self._progress.sample(target, time.time())
            except (psycopg.Error, LoginError):  # the target is away: the lag tells
                if target is not None:
                    target.close()
                target = None
        if target is not None:
            target.close()


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
            "MemoryUsage": _memory_bytes(),
        }
        if source_changes is not None:
            if lag.target_seconds == 0.0 or self._caught_up is None:
                self._caught_up = (source_changes, applied)
            changed, arrived = source_changes - self._caught_up[0], applied - self._caught_up[1]
            metrics["CDCIncomingChanges"] = float(max(0, changed - arrived))
        return metrics


def _memory_bytes() -> float:
    """The most that this process has occupied: every embedded task runs in it."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(most if sys.platform == "darwin" else most * 1024)
