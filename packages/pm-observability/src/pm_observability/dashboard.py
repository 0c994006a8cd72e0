"""One page on which a person sees how the migration goes."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from pm_core import resource_name
from pm_observability.alarms import LAG_LIMIT_SECONDS
from pm_observability.metrics import (
    MonitoredDatabase,
    MonitoredEndpoint,
    MonitoredLogs,
    MonitoredReplication,
    MonitoredService,
)

_WIDTH = 24
_HEIGHT = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationDashboardProps:
    """What the dashboard shows.

    Attributes:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        database: The environment's database.
        service: The environment's service.
        endpoint: What Route 53 checks.
        logs: The replication of its transaction logs.
        replication: The replication; None in the environment that does not host it.
    """

    environment: str
    suffix: str
    database: MonitoredDatabase
    service: MonitoredService
    endpoint: MonitoredEndpoint
    logs: MonitoredLogs
    replication: MonitoredReplication | None = None


class MigrationDashboard(Construct):
    """Replication lag, database, service and requests of one environment, from top to bottom.

    Attributes:
        dashboard: The dashboard.
        dashboard_name: Its name.
        url: Where to open it.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: MigrationDashboardProps) -> None:
        super().__init__(scope, construct_id)
        region = cdk.Stack.of(self).region
        self.dashboard_name = resource_name("dashboard", props.environment, props.suffix)
        self.dashboard = cloudwatch.Dashboard(
            self, "Dashboard", dashboard_name=self.dashboard_name, default_interval=cdk.Duration.hours(3)
        )
        self.url = (
            f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
            f"#dashboards/dashboard/{self.dashboard_name}"
        )
        if props.replication is not None:
            for row in _replication(props.replication):
                self._row(row)
        for row in _database(props.database):
            self._row(row)
        self._row(_service(props.service))
        self._row(_requests(props.service))
        self._row(_edges(props))

    def _row(self, graphs: dict[str, "_Graph"]) -> None:
        self.dashboard.add_widgets(
            *(
                cloudwatch.GraphWidget(
                    title=title,
                    left=graph.metrics,
                    left_y_axis=cloudwatch.YAxisProps(min=0, label=graph.unit, show_units=False),
                    left_annotations=[
                        cloudwatch.HorizontalAnnotation(value=graph.limit, label="alarm", color=cloudwatch.Color.RED)
                    ]
                    if graph.limit is not None
                    else None,
                    width=_WIDTH // len(graphs),
                    height=_HEIGHT,
                )
                for title, graph in graphs.items()
            )
        )


@dataclass(frozen=True, slots=True)
class _Graph:
    unit: str
    metrics: list[cloudwatch.IMetric]
    limit: float | None = None


def _replication(replication: MonitoredReplication) -> list[dict[str, _Graph]]:
    tasks = list(replication.task_arns)

    def of_each_task(metric: str) -> list[cloudwatch.IMetric]:
        return [replication.task(task, metric, label=task) for task in tasks]

    lag = {
        f"Replication lag, {side.lower()}": _Graph(
            "seconds",
            [replication.task(task, f"CDCLatency{side}", statistic="Maximum", label=task) for task in tasks],
            limit=LAG_LIMIT_SECONDS,
        )
        for side in ("Source", "Target")
    }
    throughput = {
        "Replicated changes": _Graph("rows/s", of_each_task("CDCThroughputRowsTarget")),
        "Full load": _Graph("rows/s", of_each_task("FullLoadThroughputRowsTarget")),
        "Changes waiting on disk": _Graph("rows", of_each_task("CDCChangesDiskTarget")),
        "Replication instance": _Graph("%", [replication.instance("CPUUtilization", label="CPU")]),
    }
    return [lag, throughput]


def _database(database: MonitoredDatabase) -> list[dict[str, _Graph]]:
    use = {
        "Database connections": _Graph("connections", [database.metric("DatabaseConnections", statistic="Maximum")]),
        "Database CPU": _Graph("%", [database.metric("CPUUtilization")]),
        "Database I/O": _Graph(
            "operations/s", [database.metric("ReadIOPS", label="read"), database.metric("WriteIOPS", label="write")]
        ),
        "Database latency": _Graph(
            "seconds", [database.metric("ReadLatency", label="read"), database.metric("WriteLatency", label="write")]
        ),
    }
    room = {
        "Database storage": _Graph("bytes", [database.metric("FreeStorageSpace", statistic="Minimum", label="free")]),
        "Database memory": _Graph("bytes", [database.metric("FreeableMemory", statistic="Minimum", label="free")]),
        "Replication slots": _Graph(
            "bytes",
            [
                database.metric("OldestReplicationSlotLag", statistic="Maximum", label="furthest behind"),
                database.metric("TransactionLogsDiskUsage", statistic="Maximum", label="write-ahead log"),
            ],
        ),
    }
    return [use, room]


def _edges(props: MigrationDashboardProps) -> dict[str, _Graph]:
    logs = props.logs
    return {
        "Healthy for Route 53": _Graph("1 is healthy", [props.endpoint.status(label=props.environment)]),
        "Transaction logs not copied yet": _Graph(
            "operations", [logs.metric(rule, "OperationsPendingReplication", label=rule) for rule in logs.replicas]
        ),
        "Copying of transaction logs": _Graph(
            "seconds", [logs.metric(rule, "ReplicationLatency", label=rule) for rule in logs.replicas]
        ),
    }


def _service(service: MonitoredService) -> dict[str, _Graph]:
    return {
        "Tasks": _Graph(
            "tasks",
            [
                service.insight("RunningTaskCount", label="running"),
                service.insight("DesiredTaskCount", label="desired"),
            ],
        ),
        "Service CPU and memory": _Graph(
            "%", [service.ecs("CPUUtilization", label="CPU"), service.ecs("MemoryUtilization", label="memory")]
        ),
        "Hosts": _Graph(
            "hosts",
            [
                service.targets("HealthyHostCount", statistic="Minimum", label="healthy"),
                service.targets("UnHealthyHostCount", statistic="Maximum", label="unhealthy"),
            ],
        ),
    }


def _requests(service: MonitoredService) -> dict[str, _Graph]:
    return {
        "Requests": _Graph("requests/min", [service.load_balancer("RequestCount")]),
        "Errors": _Graph(
            "responses/min",
            [
                service.targets("HTTPCode_Target_4XX_Count", statistic="Sum", label="4xx"),
                service.targets("HTTPCode_Target_5XX_Count", statistic="Sum", label="5xx of the service"),
                service.load_balancer("HTTPCode_ELB_5XX_Count", label="5xx of the load balancer"),
            ],
        ),
        "Response time": _Graph(
            "seconds",
            [
                service.targets("TargetResponseTime", statistic="p50", label="median"),
                service.targets("TargetResponseTime", statistic="p99", label="p99"),
            ],
        ),
    }
