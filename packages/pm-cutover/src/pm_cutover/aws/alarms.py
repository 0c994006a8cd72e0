"""CloudWatch: which alarms fire, and how far DMS says it is behind."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pm_cutover.aws.session import AwsSession

_TASK_DIMENSION = "ReplicationTaskIdentifier"
_BATCH = 100  # DescribeAlarms takes at most 100 names


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One alarm.

    Attributes:
        name: Its name.
        state: ``OK``, ``ALARM`` or ``INSUFFICIENT_DATA``.
        reason: CloudWatch's explanation.
        tasks: The DMS tasks that it watches, each the last part of an ARN; empty for a composite alarm.
    """

    name: str
    state: str
    reason: str
    tasks: frozenset[str] = frozenset()

    @property
    def firing(self) -> bool:
        """Whether it is in ALARM."""
        return self.state == "ALARM"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedLag:
    """DMS's own figures, a minute or so old.

    Attributes:
        source_seconds: CDCLatencySource, or None when nothing was reported in the last minutes.
        target_seconds: CDCLatencyTarget, or None likewise.
    """

    source_seconds: float | None
    target_seconds: float | None


class CloudWatch:
    """Alarms and replication metrics."""

    def __init__(self, *, aws: AwsSession) -> None:
        self._cloudwatch = aws.client("cloudwatch")

    def alarms(self, names: Sequence[str]) -> tuple[Alarm, ...]:
        """Those of the named alarms, metric and composite, that exist."""
        found: list[Alarm] = []
        for start in range(0, len(names), _BATCH):
            page = self._cloudwatch.describe_alarms(
                AlarmNames=list(names[start : start + _BATCH]), AlarmTypes=["MetricAlarm", "CompositeAlarm"]
            )
            found.extend(
                Alarm(
                    name=entry["AlarmName"],
                    state=entry["StateValue"],
                    reason=entry.get("StateReason") or "",
                    tasks=_watched_tasks(entry),
                )
                for entry in (*page.get("MetricAlarms", ()), *page.get("CompositeAlarms", ()))
            )
        return tuple(sorted(found, key=lambda alarm: alarm.name))

    def reported_lag(self, *, instance_identifier: str, task_arn: str) -> ReportedLag:
        """The newest latency of a task within five minutes.

        The task dimension is the last part of the ARN, not the task's name; both dimensions are needed.
        """
        dimensions = [
            {"Name": "ReplicationInstanceIdentifier", "Value": instance_identifier},
            {"Name": _TASK_DIMENSION, "Value": task_arn.rpartition(":")[2]},
        ]
        return ReportedLag(
            source_seconds=self._newest("CDCLatencySource", dimensions),
            target_seconds=self._newest("CDCLatencyTarget", dimensions),
        )

    def _newest(self, metric: str, dimensions: list[dict[str, str]]) -> float | None:
        now = datetime.now(UTC)
        page = self._cloudwatch.get_metric_statistics(
            Namespace="AWS/DMS",
            MetricName=metric,
            Dimensions=dimensions,
            StartTime=now - timedelta(minutes=5),
            EndTime=now + timedelta(minutes=1),
            Period=60,
            Statistics=["Maximum"],
        )
        points = sorted(page["Datapoints"], key=lambda point: point["Timestamp"])
        return float(points[-1]["Maximum"]) if points else None


def _watched_tasks(alarm: dict[str, Any]) -> frozenset[str]:
    metrics = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", ()) if "MetricStat" in query]
    dimensions = [
        dimension for metric in (alarm, *metrics) for dimension in metric.get("Dimensions", ()) if dimension["Value"]
    ]
    return frozenset(dimension["Value"] for dimension in dimensions if dimension["Name"] == _TASK_DIMENSION)
