"""One page on which a person sees how one environment does."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from pm_core import resource_name
from pm_observability.alarms import RUNBOOK
from pm_observability.graphs import Graph, Row, console_url, dashboard_interval, row, section, text
from pm_observability.metrics import MonitoredDatabase, MonitoredEnvironment, MonitoredService

_TEXT = """# {environment} environment of the payment migration, {suffix}
Database, service, requests, and copies of the transaction logs of this environment.
What to do about each alarm: {runbook}. Next: `pm status` says where the migration stands.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentDashboardProps:
    """What the dashboard shows.

    Attributes:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        monitored: What is measured in the environment.
        runbook: Where the runbook is.
    """

    environment: str
    suffix: str
    monitored: MonitoredEnvironment
    runbook: str = RUNBOOK


class EnvironmentDashboard(Construct):
    """Database, service, requests, logs and health of one environment, from top to bottom.

    Attributes:
        dashboard_name: Its name.
        url: Where to open it.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: EnvironmentDashboardProps) -> None:
        super().__init__(scope, construct_id)
        self.dashboard_name = resource_name("dashboard", props.environment, props.suffix)
        self.url = console_url(self.dashboard_name, cdk.Stack.of(self).region)
        dashboard = cloudwatch.Dashboard(
            self, "Dashboard", dashboard_name=self.dashboard_name, default_interval=dashboard_interval()
        )
        dashboard.add_widgets(
            text(
                _TEXT.format(
                    environment=props.environment.capitalize(),
                    suffix=props.suffix,
                    runbook=section(props.runbook, "alarms"),
                ),
                height=3,
            )
        )
        monitored = props.monitored
        for graphs in (
            *_database(monitored.database),
            _service(monitored.service),
            _requests(monitored.service),
            _edges(props),
        ):
            dashboard.add_widgets(*row(graphs))


def _database(database: MonitoredDatabase) -> list[Row]:
    use = {
        "Database connections": Graph(
            unit="connections", metrics=[database.metric("DatabaseConnections", statistic="Maximum")]
        ),
        "Database CPU": Graph(unit="%", metrics=[database.metric("CPUUtilization")]),
        "Database I/O": Graph(
            unit="operations/s",
            metrics=[database.metric("ReadIOPS", label="read"), database.metric("WriteIOPS", label="write")],
        ),
        "Database latency": Graph(
            unit="seconds",
            metrics=[database.metric("ReadLatency", label="read"), database.metric("WriteLatency", label="write")],
        ),
    }
    room = {
        "Database storage": Graph(
            unit="bytes", metrics=[database.metric("FreeStorageSpace", statistic="Minimum", label="free")]
        ),
        "Database memory": Graph(
            unit="bytes", metrics=[database.metric("FreeableMemory", statistic="Minimum", label="free")]
        ),
        "Replication slots": Graph(
            unit="bytes",
            metrics=[
                database.metric("OldestReplicationSlotLag", statistic="Maximum", label="furthest behind"),
                database.metric("TransactionLogsDiskUsage", statistic="Maximum", label="write-ahead log"),
            ],
        ),
    }
    return [use, room]


def _service(service: MonitoredService) -> Row:
    return {
        "Tasks": Graph(
            unit="tasks",
            metrics=[
                service.insight("RunningTaskCount", label="running"),
                service.insight("DesiredTaskCount", label="desired"),
            ],
        ),
        "Service CPU and memory": Graph(
            unit="%",
            metrics=[service.ecs("CPUUtilization", label="CPU"), service.ecs("MemoryUtilization", label="memory")],
        ),
        "Hosts": Graph(
            unit="hosts",
            metrics=[
                service.targets("HealthyHostCount", statistic="Minimum", label="healthy"),
                service.targets("UnHealthyHostCount", statistic="Maximum", label="unhealthy"),
            ],
        ),
    }


def _requests(service: MonitoredService) -> Row:
    return {
        "Requests": Graph(unit="requests/min", metrics=[service.load_balancer("RequestCount")]),
        "Errors": Graph(
            unit="responses/min",
            metrics=[
                service.targets("HTTPCode_Target_4XX_Count", statistic="Sum", label="4xx"),
                service.targets("HTTPCode_Target_5XX_Count", statistic="Sum", label="5xx of the service"),
                service.load_balancer("HTTPCode_ELB_5XX_Count", label="5xx of the load balancer"),
            ],
        ),
        "Response time": Graph(
            unit="seconds",
            metrics=[
                service.targets("TargetResponseTime", statistic="p50", label="median"),
                service.targets("TargetResponseTime", statistic="p99", label="p99"),
            ],
        ),
    }


def _edges(props: EnvironmentDashboardProps) -> Row:
    logs = props.monitored.logs
    return {
        "Healthy for Route 53": Graph(
            unit="1 is healthy", metrics=[props.monitored.endpoint.status(label=props.environment)]
        ),
        "Transaction logs not copied yet": Graph(
            unit="operations",
            metrics=[logs.waiting(rule, label=rule) for rule in logs.replicas],
        ),
        "Copying of transaction logs": Graph(
            unit="seconds", metrics=[logs.latency(rule, label=rule) for rule in logs.replicas]
        ),
    }
