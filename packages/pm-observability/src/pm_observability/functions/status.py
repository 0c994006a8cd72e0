"""The function behind ReplicationStatus: what AWS knows of the migration, as JSON.

Who the writer is, is written in the databases, which this function does not reach: `pm status` reads them.
"""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.config import Config

_AWS = Config(connect_timeout=3, read_timeout=8, retries={"max_attempts": 2, "mode": "standard"})
_LOOK_BACK = timedelta(minutes=5)
_LAG = {"source_lag_seconds": "CDCLatencySource", "target_lag_seconds": "CDCLatencyTarget"}


def task_status(dms: Any, cloudwatch: Any, *, arn: str, instance: str) -> dict[str, Any]:
    """One replication task: status, progress, the tables' states and validation, and lag as last reported.

    Args:
        dms: A DMS client.
        cloudwatch: A CloudWatch client.
        arn: The task.
        instance: The replication instance's name, one of the two dimensions of the lag.
    """
    (task,) = dms.describe_replication_tasks(
        Filters=[{"Name": "replication-task-arn", "Values": [arn]}], WithoutSettings=True
    )["ReplicationTasks"]
    return {
        "status": task["Status"],
        "stop_reason": task.get("StopReason", ""),
        "full_load_percent": task.get("ReplicationTaskStats", {}).get("FullLoadProgressPercent", 0),
        "tables": _tables(dms, arn),
        **_lag(cloudwatch, instance=instance, task=arn.rpartition(":")[2]),
    }


def weights(route53: Any, *, zone_id: str, record: str) -> dict[str, int]:
    """The share of the traffic that Route 53 sends to each environment."""
    found = route53.list_resource_record_sets(HostedZoneId=zone_id, StartRecordName=record)["ResourceRecordSets"]
    return {
        entry["SetIdentifier"]: int(entry["Weight"])
        for entry in found
        if entry["Name"].rstrip(".") == record.rstrip(".") and "Weight" in entry
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


def handle(_event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """One GET request of the function's URL, which IAM has let in."""
    settings = json.loads(os.environ["PM_STATUS"])
    dms, cloudwatch = boto3.client("dms", config=_AWS), boto3.client("cloudwatch", config=_AWS)
    body = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "tasks": {
            name: task_status(dms, cloudwatch, arn=arn, instance=settings["instance"])
            for name, arn in settings["tasks"].items()
        },
        "weights": weights(boto3.client("route53", config=_AWS), zone_id=settings["zone"], record=settings["record"]),
        "writer": "in the databases: run `pm status`",
    }
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(body)}
