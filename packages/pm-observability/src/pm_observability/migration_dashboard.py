"""One page on which a person sees how the migration goes, both environments side by side."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from pm_core import resource_name
from pm_observability.alarms import RUNBOOK
from pm_observability.graphs import WIDTH, Graph, Row, console_url, dashboard_interval, row, section, text
from pm_observability.lines import LAG_LIMIT_SECONDS, WAL_SHARE
from pm_observability.metrics import MonitoredEnvironment, MonitoredReplication

_TEXT = """# Payment migration {suffix}, phase {phase}
Replication from the writer to the side that follows it, and both environments side by side. While an alarm named
migration-unsafe goes off, `pm` shifts and moves nothing. What to do about each alarm: {runbook}.
Next: `{next}`
"""
_ALARMS_IN_A_ROW = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationDashboardProps:
    """What the dashboard shows.

    Attributes:
        environment: The environment that hosts it.
        suffix: The deployment's environmentSuffix.
        phase: Of the migration, as deployed.
        next_command: What is run next in this phase.
        monitored: What is measured, by environment, source first.
        replication: The replication between them.
        alarms: Whose state is shown on top; of the other environment, too.
        status_function_arn: The function that tells writer, progress and weights; the page shows what it says.
        database_storage_gib: Allocated storage of each database.
        runbook: Where the runbook is.
    """

    environment: str
    suffix: str
    phase: str
    next_command: str
    monitored: Mapping[str, MonitoredEnvironment]
    replication: MonitoredReplication
    alarms: Sequence[cloudwatch.IAlarm]
    status_function_arn: str
    database_storage_gib: int
    runbook: str = RUNBOOK


class MigrationDashboard(Construct):
    """Alarms, writer and progress, replication, then what both environments do, from top to bottom.

    Attributes:
        dashboard_name: Its name.
        url: Where to open it.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: MigrationDashboardProps) -> None:
        super().__init__(scope, construct_id)
        self.dashboard_name = resource_name("dashboard", props.environment, props.suffix, qualifier="migration")
        self.url = console_url(self.dashboard_name, cdk.Stack.of(self).region)
        dashboard = cloudwatch.Dashboard(
            self, "Dashboard", dashboard_name=self.dashboard_name, default_interval=dashboard_interval()
        )
        dashboard.add_widgets(
            text(
                _TEXT.format(
                    suffix=props.suffix,
                    phase=props.phase,
                    runbook=section(props.runbook, "alarms"),
                    next=props.next_command,
                ),
                height=4,
            )
        )
        dashboard.add_widgets(
            cloudwatch.AlarmStatusWidget(
                title="Alarms",
                alarms=list(props.alarms),
                width=WIDTH,
                height=1 + -(-len(props.alarms) // _ALARMS_IN_A_ROW),
            )
        )
        dashboard.add_widgets(
            cloudwatch.CustomWidget(
                title="Writer, weights, load and validation",
                function_arn=props.status_function_arn,
                update_on_refresh=True,
                update_on_resize=False,
                update_on_time_range_change=False,
                width=WIDTH,
                height=8,
            )
        )
        for graphs in (
            *_replication(props.replication),
            _validation(props.replication),
            _slots(props),
            _requests(props.monitored),
            _load(props.monitored),
            _edges(props.monitored),
        ):
            dashboard.add_widgets(*row(graphs))


def _of_each(
    of: Mapping[str, MonitoredEnvironment],
    metric: Callable[[str, MonitoredEnvironment], cloudwatch.IMetric],
) -> list[cloudwatch.IMetric]:
    return [metric(name, environment) for name, environment in of.items()]


def _replication(replication: MonitoredReplication) -> list[Row]:
    tasks = list(replication.task_arns)

    def of_each_task(metric: str) -> list[cloudwatch.IMetric]:
        return [replication.task(task, metric, label=task) for task in tasks]

    lag = {
        f"Replication lag, {side.lower()}": Graph(
            unit="seconds",
            metrics=[replication.task(task, f"CDCLatency{side}", statistic="Maximum", label=task) for task in tasks],
            limit=LAG_LIMIT_SECONDS,
        )
        for side in ("Source", "Target")
    }
    throughput = {
        "Full load": Graph(unit="rows/s", metrics=of_each_task("FullLoadThroughputRowsTarget")),
        "Replicated changes": Graph(unit="rows/s", metrics=of_each_task("CDCThroughputRowsTarget")),
        "Changes not applied yet": Graph(unit="rows", metrics=of_each_task("CDCIncomingChanges")),
        "Changes waiting on disk": Graph(unit="rows", metrics=of_each_task("CDCChangesDiskTarget")),
    }
    return [lag, throughput]


def _validation(replication: MonitoredReplication) -> Row:
    def overall(name: str) -> list[cloudwatch.IMetric]:
        return [
            replication.task(
                task, f"Validation{name}OverallCount", statistic="Maximum", label=f"{task}: {name.lower()}"
            )
            for task in replication.task_arns
        ]

    return {
        "Rows that failed validation": Graph(unit="rows", metrics=overall("Failed"), limit=0),
        "Rows not validated": Graph(unit="rows", metrics=[*overall("Pending"), *overall("Suspended")]),
        "Validated rows": Graph(
            unit="rows/min",
            metrics=[
                replication.task(task, "ValidationSucceededRecordCount", statistic="Sum", label=task)
                for task in replication.task_arns
            ],
        ),
        "Replication instance": Graph(unit="%", metrics=[replication.instance("CPUUtilization", label="CPU")]),
    }


def _slots(props: MigrationDashboardProps) -> Row:
    limit = props.database_storage_gib * 1024**3 * WAL_SHARE

    def bytes_of(metric: str) -> list[cloudwatch.IMetric]:
        return _of_each(
            props.monitored,
            lambda name, environment: environment.database.metric(metric, statistic="Maximum", label=name),
        )

    return {
        "Slot that is furthest behind": Graph(unit="bytes", metrics=bytes_of("OldestReplicationSlotLag"), limit=limit),
        "Write-ahead log": Graph(unit="bytes", metrics=bytes_of("TransactionLogsDiskUsage"), limit=limit),
    }


def _requests(of: Mapping[str, MonitoredEnvironment]) -> Row:
    return {
        "Requests": Graph(
            unit="requests/min",
            metrics=_of_each(of, lambda name, one: one.service.load_balancer("RequestCount", label=name)),
        ),
        "5xx": Graph(
            unit="responses/min",
            metrics=[
                *_of_each(
                    of,
                    lambda name, one: one.service.targets(
                        "HTTPCode_Target_5XX_Count", statistic="Sum", label=f"{name}: service"
                    ),
                ),
                *_of_each(
                    of,
                    lambda name, one: one.service.load_balancer(
                        "HTTPCode_ELB_5XX_Count", label=f"{name}: load balancer"
                    ),
                ),
            ],
        ),
        "Response time, p99": Graph(
            unit="seconds",
            metrics=_of_each(
                of, lambda name, one: one.service.targets("TargetResponseTime", statistic="p99", label=name)
            ),
        ),
        "Healthy hosts": Graph(
            unit="hosts",
            metrics=_of_each(
                of, lambda name, one: one.service.targets("HealthyHostCount", statistic="Minimum", label=name)
            ),
        ),
    }


def _load(of: Mapping[str, MonitoredEnvironment]) -> Row:
    return {
        "Running tasks": Graph(
            unit="tasks",
            metrics=_of_each(of, lambda name, one: one.service.insight("RunningTaskCount", label=name)),
        ),
        "Service CPU": Graph(
            unit="%", metrics=_of_each(of, lambda name, one: one.service.ecs("CPUUtilization", label=name))
        ),
        "Database CPU": Graph(
            unit="%", metrics=_of_each(of, lambda name, one: one.database.metric("CPUUtilization", label=name))
        ),
        "Database connections": Graph(
            unit="connections",
            metrics=_of_each(
                of, lambda name, one: one.database.metric("DatabaseConnections", statistic="Maximum", label=name)
            ),
        ),
    }


def _edges(of: Mapping[str, MonitoredEnvironment]) -> Row:
    rules = [(one.logs, rule, f"{name}: {rule}") for name, one in of.items() for rule in one.logs.replicas]
    return {
        "Healthy for Route 53": Graph(
            unit="1 is healthy", metrics=_of_each(of, lambda name, one: one.endpoint.status(label=name))
        ),
        "Transaction logs not copied yet": Graph(
            unit="operations", metrics=[logs.waiting(rule, label=label) for logs, rule, label in rules]
        ),
        "Copying of transaction logs": Graph(
            unit="seconds", metrics=[logs.latency(rule, label=label) for logs, rule, label in rules]
        ),
    }
