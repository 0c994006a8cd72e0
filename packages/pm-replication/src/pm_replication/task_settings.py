"""How every replication task behaves, as the JSON text of ``ReplicationTaskSettings``."""

import json
from typing import Any

# The components whose messages explain a failed load or a stuck apply; the others stay at DMS's default severity.
_LOGGED_COMPONENTS = ("SOURCE_UNLOAD", "SOURCE_CAPTURE", "TARGET_LOAD", "TARGET_APPLY", "TASK_MANAGER")


# A row is called different only once it has been so for as long, so that one that is still under way is not.
_FAILURE_DELAY_MINUTES = 5
# More different rows than that are one cause, not a thousand: comparing on would only burden both databases.
_FAILURES_AT_MOST = 1_000
_THREADS_AT_MOST = 20
# Eight hours, at half a minute each.
_ATTEMPTS = 1_000


def task_settings(*, control_schema: str, validation_threads: int = 0, lob_max_kib: int = 64) -> str:
    """Settings of a task that loads into existing tables and stops rather than lose or truncate a row.

    Args:
        control_schema: Where on the target DMS keeps its own tables, ``awsdms_*``; by default that would be ``public``.
        validation_threads: How many threads compare each row of the target with the source, while the task runs and
            after it has loaded a table; 0 compares nothing, 20 at the most.
        lob_max_kib: The longest text, bytea or jsonb value that is replicated, in KiB, 1 to 102400. The reader
            endpoint fails the task on a longer one (``FailTasksOnLobTruncation``), it never truncates.

    Raises:
        ValueError: ``validation_threads`` or ``lob_max_kib`` is out of range.

    Source: AWS DMS user guide, "Specifying task settings", "Error handling task settings", "Data validation task
    settings", "Control table task settings".
    """
    if not 0 <= validation_threads <= _THREADS_AT_MOST:
        raise ValueError(f"validation_threads {validation_threads}: take 0 (no validation) to {_THREADS_AT_MOST}")
    if not 1 <= lob_max_kib <= 102_400:
        raise ValueError(f"lob_max_kib {lob_max_kib}: limited LOB mode takes 1 to 102400 KiB")
    settings: dict[str, Any] = {
        "TargetMetadata": {
            # Without LOB support DMS drops text and jsonb columns silently.
            "SupportLobs": True,
            "LimitedSizeLobMode": True,
            "FullLobMode": False,
            "LobMaxSize": lob_max_kib,
            # One source transaction is one target transaction: a marker row proves that all before it has arrived.
            "BatchApplyEnabled": False,
        },
        "FullLoadSettings": {
            # The schema, with its keys and defaults, is there before the load; DMS must neither make nor empty it.
            "TargetTablePrepMode": "DO_NOTHING",
            "CreatePkAfterFullLoad": False,
            "StopTaskCachedChangesApplied": False,
            "StopTaskCachedChangesNotApplied": False,
            "MaxFullLoadSubTasks": 8,
            "TransactionConsistencyTimeout": 600,
            "CommitRate": 10_000,
        },
        "Logging": {
            "EnableLogging": True,
            "LogComponents": [
                {"Id": component, "Severity": "LOGGER_SEVERITY_DEFAULT"} for component in _LOGGED_COMPONENTS
            ],
        },
        "ErrorBehavior": {
            # A payment that cannot be replicated stops the task: lag rises, an alarm fires, a cutover is refused.
            "DataErrorPolicy": "STOP_TASK",
            "DataTruncationErrorPolicy": "STOP_TASK",
            "TableErrorPolicy": "STOP_TASK",
            # After a crash DMS replays from its last checkpoint: a row that is there already is written over, a row
            # that is gone already stays gone.
            "ApplyErrorInsertPolicy": "UPDATE_RECORD",
            "ApplyErrorUpdatePolicy": "LOG_ERROR",
            "ApplyErrorDeletePolicy": "IGNORE_RECORD",
            # The load overlaps with the changes that the slot kept since before it began.
            "FullLoadIgnoreConflicts": True,
            "FailOnNoTablesCaptured": True,
            "FailOnTransactionConsistencyBreached": True,
            # Keep trying to reach the databases, waiting at most half a minute between attempts: a failover takes one
            # or two, and a task that gave up would keep write-ahead log until a person comes. DMS's own limits end
            # sooner: nine attempts, or as soon as the waits have grown to the longest.
            "RecoverableErrorCount": _ATTEMPTS,
            "RecoverableErrorInterval": 5,
            "RecoverableErrorThrottling": True,
            "RecoverableErrorThrottlingMax": 30,
            "RecoverableErrorStopRetryAfterThrottlingMax": False,
        },
        "ChangeProcessingDdlHandlingPolicy": {
            # A dropped or truncated table on one side is a mistake, not a change to repeat on the other.
            "HandleSourceTableDropped": False,
            "HandleSourceTableTruncated": False,
            "HandleSourceTableAltered": False,
        },
        "ControlTablesSettings": {"ControlSchema": control_schema},
        "ValidationSettings": {"EnableValidation": False},
    }
    if validation_threads:
        settings["ValidationSettings"] = {
            "EnableValidation": True,
            "ValidationMode": "ROW_LEVEL",
            "ThreadCount": validation_threads,
            "RecordFailureDelayInMinutes": _FAILURE_DELAY_MINUTES,
            "FailureMaxCount": _FAILURES_AT_MOST,
            "TableFailureMaxCount": _FAILURES_AT_MOST,
            # A text, bytea or jsonb value that differs is a difference.
            "SkipLobColumns": False,
        }
    return json.dumps(settings, separators=(",", ":"))
