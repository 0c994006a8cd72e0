"""What DMS and CloudWatch say about replication tasks."""

from datetime import UTC, datetime, timedelta
from typing import Any

_LOOK_BACK = timedelta(minutes=5)
_LAG = {"source_lag_seconds": "CDCLatencySource", "target_lag_seconds": "CDCLatencyTarget"}


def task_status(dms: Any, cloudwatch: Any, *, arn: str, instance: str) -> dict[str, Any]:
    """One replication task: status, progress, the tables' states, validation over all of them, lag as last reported.

    Args:
        dms: A DMS client.
        cloudwatch: A CloudWatch client.
        arn: The task.
        instance: The replication instance's name, one of the two dimensions of the lag.
    """
    (task,) = dms.describe_replication_tasks(
        Filters=[{"Name": "replication-task-arn", "Values": [arn]}], WithoutSettings=True
    )["ReplicationTasks"]
    tables = _tables(dms, arn)
    return {
        "status": task["Status"],
        "stop_reason": task.get("StopReason", ""),
        "full_load_percent": task.get("ReplicationTaskStats", {}).get("FullLoadProgressPercent", 0),
        "tables": tables,
        "validation": {
            "states": sorted({str(table["validation"]) for table in tables}),
            "failed": sum(table["validation_failures"] for table in tables),
            "pending": sum(table["validation_pending"] for table in tables),
            "suspended": sum(table["validation_suspended"] for table in tables),
        },
        **_lag(cloudwatch, instance=instance, task=arn.rpartition(":")[2]),
    }


def _tables(dms: Any, arn: str) -> list[dict[str, Any]]:
    pages = dms.get_paginator("describe_table_statistics").paginate(ReplicationTaskArn=arn)
    return [
        {
            "table": f"{entry['SchemaName']}.{entry['TableName']}",
            "state": entry.get("TableState", ""),
            "loaded_rows": entry.get("FullLoadRows", 0),
            "inserts": entry.get("Inserts", 0),
            "updates": entry.get("Updates", 0),
            "deletes": entry.get("Deletes", 0),
            "validation": entry.get("ValidationState", ""),
            "validation_failures": entry.get("ValidationFailedRecords", 0),
            "validation_pending": entry.get("ValidationPendingRecords", 0),
            "validation_suspended": entry.get("ValidationSuspendedRecords", 0),
        }
        for page in pages
        for entry in page["TableStatistics"]
    ]


def _lag(cloudwatch: Any, *, instance: str, task: str) -> dict[str, float | None]:
    now = datetime.now(UTC)
    dimensions = [
        {"Name": "ReplicationInstanceIdentifier", "Value": instance},
        {"Name": "ReplicationTaskIdentifier", "Value": task},
    ]
    lag: dict[str, float | None] = {}
    for name, metric in _LAG.items():
        points = cloudwatch.get_metric_statistics(
            Namespace="AWS/DMS",
            MetricName=metric,
            Dimensions=dimensions,
            StartTime=now - _LOOK_BACK,
            EndTime=now + timedelta(minutes=1),
            Period=60,
            Statistics=["Maximum"],
        )["Datapoints"]
        lag[name] = max(points, key=lambda point: point["Timestamp"])["Maximum"] if points else None
    return lag
