"""Validates the tables of one run of a task, over and over, and tells what it found."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import psycopg

from pm_rehearsal.cloud.dms import control_tables, validation
from pm_rehearsal.cloud.dms.checks import TaskError
from pm_rehearsal.cloud.dms.control_tables import Failure
from pm_rehearsal.cloud.dms.logins import Connection, LoginError
from pm_rehearsal.cloud.dms.mappings import Table
from pm_rehearsal.cloud.dms.mover import Mover
from pm_rehearsal.cloud.dms.progress import COMPLETED, Progress
from pm_rehearsal.cloud.dms.settings import Validation
from pm_rehearsal.cloud.dms.validation import Shape, Verdict

# A minute of DMS's delays; a rehearsal is over before a real one matters.
MINUTE_SECONDS = 1.0
PAUSE_SECONDS = 1.0
# After a look at everything so many times as long as its queries took: validation must not slow payments down.
_REST = 20.0
_ARRIVAL_SECONDS = 5.0
_POLL_SECONDS = 0.1


@dataclass(slots=True)
class _Found:
    """What is known of one table."""

    suspects: dict[str, tuple[float, str]] = field(default_factory=dict)  # since when, and how, a row differs
    failed: dict[str, str] = field(default_factory=dict)
    pending: int = 0
    looked: bool = False


class Validator:
    """Compares both sides on a thread of its own, with the rights of the endpoints' users.

    What failed stays failed until the table is validated anew, as in DMS.

    Args:
        mover: Moves the task's rows.
        progress: Tells which tables are loaded.
        settings: The task's.
        control_schema: Where failures are written, on the target.
        task: The last part of the task's ARN, which names it in there.
        confirmed: The WAL position of the source up to which the target has applied.
        stopped: Set when the run ends.
    """

    def __init__(
        self,
        *,
        mover: Mover,
        progress: Progress,
        settings: Validation,
        control_schema: str,
        task: str,
        confirmed: Callable[[], int],
        stopped: threading.Event,
    ) -> None:
        self._mover = mover
        self._progress = progress
        self._settings = settings
        self._control_schema = control_schema
        self._task = task
        self._confirmed = confirmed
        self._stopped = stopped
        self._lock = threading.Lock()
        self._shapes: dict[Table, Shape] = {}
        self._found: dict[Table, _Found] = {}
        self._attempted = self._succeeded = 0
        self._waited_seconds = 0.0

    def verdict(self, table: Table) -> Verdict:
        """What is known of a table."""
        with self._lock:
            shape, found = self._shapes.get(table), self._found.get(table)
            if shape is not None and not shape.comparable:
                return Verdict(state=validation.NO_KEY)
            if found is None or not found.looked:
                return Verdict(state=validation.WAITING)
            pending = found.pending + len(found.suspects)
            if found.failed:
                return Verdict(state=validation.MISMATCHED, failed_rows=len(found.failed), pending_rows=pending)
            return Verdict(state=validation.PENDING if pending else validation.VALIDATED, pending_rows=pending)

    def revalidate(self, table: Table) -> None:
        """Forget what was found of a table."""
        with self._lock:
            self._found.pop(table, None)

    def metrics(self) -> Mapping[str, float]:
        """Under CloudWatch's names; rows attempted and succeeded are those since the last call."""
        verdicts = [self.verdict(table) for table in self._mover.tables]
        with self._lock:
            attempted, succeeded = self._attempted, self._succeeded
            self._attempted = self._succeeded = 0
        return {
            "ValidationAttemptedRecordCount": float(attempted),
            "ValidationSucceededRecordCount": float(succeeded),
            "ValidationFailedOverallCount": float(sum(verdict.failed_rows for verdict in verdicts)),
            "ValidationPendingOverallCount": float(sum(verdict.pending_rows for verdict in verdicts)),
            "ValidationSuspendedOverallCount": 0.0,
        }

    def run(self) -> None:
        """Look again and again until the run ends."""
        while not self._stopped.wait(PAUSE_SECONDS):
            began, self._waited_seconds = time.monotonic(), 0.0
            try:
                with self._mover.plan.source.connect() as source, self._mover.plan.target.connect() as target:
                    self._look(source, target)
            except (psycopg.Error, LoginError, TaskError):  # a side is away: the lag tells
                continue
            self._stopped.wait(_REST * (time.monotonic() - began - self._waited_seconds))

    def _look(self, source: Connection, target: Connection) -> None:
        for connection in (source, target):
            validation.prepare(connection)
        for table in self._mover.tables:
            state = self._progress.tables().get(table)
            if state is None or state.state != COMPLETED or self._stopped.is_set():
                continue
            if table not in self._shapes:
                found = validation.shape(source, table)
                with self._lock:
                    self._shapes[table] = found
            if self._shapes[table].comparable and not self._given_up(table):
                self._validate(self._shapes[table], source, target)

    def _given_up(self, table: Table) -> bool:
        """Whether so many rows failed that DMS would compare no more."""
        with self._lock:
            here = len(self._found[table].failed) if table in self._found else 0
            everywhere = sum(len(found.failed) for found in self._found.values())
        return here >= self._settings.table_failures_at_most or everywhere >= self._settings.failures_at_most

    def _validate(self, of: Shape, source: Connection, target: Connection) -> None:
        there, count = validation.checksums(source, of)
        if not self._arrived(source):
            return
        here, _ = validation.checksums(target, of)
        buckets = validation.differing(there, here)
        comparison = validation.Comparison()
        if buckets:
            before = validation.rows(source, of, buckets)
            if not self._arrived(source):
                return
            comparison = validation.compare(
                before, validation.rows(target, of, buckets), validation.rows(source, of, buckets)
            )
        self._keep(of.table, comparison, count, target)

    def _arrived(self, source: Connection) -> bool:
        """Wait until everything that the source shows is on the target."""
        position = validation.position(source)
        began = time.monotonic()
        arrived = True
        while arrived and self._confirmed() < position:
            arrived = time.monotonic() < began + _ARRIVAL_SECONDS and not self._stopped.wait(_POLL_SECONDS)
        self._waited_seconds += time.monotonic() - began
        return arrived

    def _keep(self, table: Table, comparison: validation.Comparison, count: int, target: Connection) -> None:
        now = time.monotonic()
        delay_seconds = self._settings.failure_delay_minutes * MINUTE_SECONDS
        with self._lock:
            found = self._found.setdefault(table, _Found())
            found.looked = True
            found.pending = len(comparison.pending)
            since = {key: found.suspects.get(key, (now, ""))[0] for key in comparison.failed}
            new = {
                key: kind
                for key, kind in comparison.failed.items()
                if key in found.suspects and now - since[key] >= delay_seconds and key not in found.failed
            }
            found.failed |= new
            found.suspects = {
                key: (since[key], kind) for key, kind in comparison.failed.items() if key not in found.failed
            }
            unsettled = len(comparison.failed) + len(comparison.pending)
            self._attempted += count
            self._succeeded += max(0, count - unsettled)
        control_tables.record(
            target,
            self._control_schema,
            [Failure(task=self._task, table=table, key=key, kind=kind) for key, kind in new.items()],
        )
