"""A task's metrics in CloudWatch, under the names and dimensions that DMS uses."""

import logging

from botocore.exceptions import BotoCoreError, ClientError

from pm_rehearsal.cloud.dms.run import Metrics
from pm_rehearsal.cloud.dms.store import Resource
from pm_rehearsal.cloud.extension import Extension

NAMESPACE = "AWS/DMS"

log = logging.getLogger(__name__)


def publish(extension: Extension, instance: Resource, task: Resource, metrics: Metrics) -> None:
    """Put one data point per metric.

    Both dimensions are always there; the task's is the last part of its ARN, not its name.

    Source: AWS DMS user guide, "Data Migration Service metrics".
    """
    dimensions = [
        {"Name": "ReplicationInstanceIdentifier", "Value": instance["ReplicationInstanceIdentifier"]},
        {"Name": "ReplicationTaskIdentifier", "Value": task["ReplicationTaskArn"].rpartition(":")[2]},
    ]
    data = [
        {"MetricName": name, "Dimensions": dimensions, "Value": value, "Unit": _unit(name)}
        for name, value in metrics.items()
    ]
    try:
        extension.client("cloudwatch").put_metric_data(Namespace=NAMESPACE, MetricData=data)
    except (ClientError, BotoCoreError) as error:  # the next second brings the next point
        log.warning("metrics of %s not published: %s", task["ReplicationTaskIdentifier"], error)


def _unit(name: str) -> str:
    if "Latency" in name:
        return "Seconds"
    if name == "MemoryUsage":
        return "Bytes"
    return "Count/Second" if "Throughput" in name else "Count"
