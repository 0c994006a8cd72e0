"""One replication task: its state, and how the API shows it."""

import threading
import time

from pm_rehearsal.cloud.dms.mover import Mover, object_name
from pm_rehearsal.cloud.dms.progress import BEFORE, COMPLETED, ERROR, LOADING, Progress, TableProgress
from pm_rehearsal.cloud.dms.run import Run
from pm_rehearsal.cloud.dms.store import Attributes, Resource
from pm_rehearsal.cloud.dms.validation import NOT_ENABLED, Verdict

LOAD, CDC = "full-load-and-cdc", "cdc"
_BUSY = frozenset({"starting", "running", "stopping"})


class Task(Resource):
    """One replication task and what runs for it."""

    def __init__(self, attributes: Attributes) -> None:
        super().__init__(attributes)
        self.lock = threading.Lock()  # one change of status at a time
        self.stats: Attributes = {}
        self.progress = Progress(subscription=self.object_name, load=attributes["MigrationType"] == LOAD)
        self.mover: Mover | None = None
        self.run: Run | None = None

    @property
    def object_name(self) -> str:
        """The name of its publication, subscription and own slot."""
        return object_name(self["ReplicationTaskIdentifier"])

    @property
    def busy(self) -> bool:
        """Whether it runs, or is about to start or stop."""
        return self["Status"] in _BUSY


def described(task: Task) -> Attributes:
    """The task as DescribeReplicationTasks shows it."""
    states = [table.state for table in task.progress.tables().values()]
    loaded = states.count(COMPLETED)
    stats = task.stats | {
        "TablesLoaded": loaded,
        "TablesLoading": states.count(LOADING),
        "TablesQueued": states.count(BEFORE),
        "TablesErrored": states.count(ERROR),
        "FullLoadProgressPercent": 100 * loaded // len(states) if states else 0,
    }
    if stats.get("StartDate"):
        stats["ElapsedTimeMillis"] = int(1000 * (stats.get("StopDate", time.time()) - stats["StartDate"]))
    if task["MigrationType"] == LOAD and states:
        tables = task.progress.tables().values()
        stats["FullLoadStartDate"] = min(table.started for table in tables)
        ends = [table.ended for table in tables if table.ended is not None]
        if len(ends) == len(states):
            stats["FullLoadFinishDate"] = max(ends)
    return {name: value for name, value in task.attributes.items() if value != ""} | {"ReplicationTaskStats": stats}


def statistics(schema: str, name: str, table: TableProgress, verdict: Verdict | None) -> Attributes:
    """One entry of DescribeTableStatistics; no verdict before the first run."""
    ended: Attributes = {} if table.ended is None else {"FullLoadEndTime": table.ended}
    return {
        "SchemaName": schema,
        "TableName": name,
        "TableState": table.state,
        "Inserts": table.inserts,
        "Updates": table.updates,
        "Deletes": table.deletes,
        "Ddls": 0,
        "AppliedInserts": table.inserts,
        "AppliedUpdates": table.updates,
        "AppliedDeletes": table.deletes,
        "AppliedDdls": 0,
        "FullLoadRows": table.loaded_rows,
        "FullLoadErrorRows": 0,
        "FullLoadCondtnlChkFailedRows": 0,
        "FullLoadStartTime": table.started,
        **ended,
        "LastUpdateTime": table.changed,
        "ValidationState": verdict.state if verdict else NOT_ENABLED,
        "ValidationFailedRecords": verdict.failed_rows if verdict else 0,
        "ValidationPendingRecords": verdict.pending_rows if verdict else 0,
        "ValidationSuspendedRecords": 0,
    }
