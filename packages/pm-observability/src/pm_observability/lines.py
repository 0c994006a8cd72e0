"""The lines that need a person when they are crossed: what is measured, where the line is, what to do."""

from collections.abc import Iterator
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from pm_core import resource_name
from pm_observability.metrics import (
    MonitoredCertificate,
    MonitoredDatabase,
    MonitoredEndpoint,
    MonitoredLogs,
    MonitoredReplication,
    MonitoredService,
)

LAG_LIMIT_SECONDS = 60
# Half of the share at which PostgreSQL gives a slot up (max_slot_wal_keep_size, a quarter).
WAL_SHARE = 0.125
# A load balancer answers 5xx now and then while tasks are replaced; this many in a minute are not chance.
_SERVER_ERRORS_PER_MINUTE = 5
_SLOW_SECONDS = 2
_BUSY_PERCENT = 80
_CONNECTIONS_SHARE = 0.8
_FREE_MEMORY_BYTES = 512 * 1024**2
_REPLICATION_FREE_BYTES = 10 * 1024**3
# S3's own promise for most objects, with replication time control.
_LATE_SECONDS = 15 * 60
# ACM renews 60 days before the end; what is not renewed a month before will not be without a person.
_EXPIRY_DAYS = 30
_MINUTE = cdk.Duration.minutes(1)

_BELOW = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line.

    Attributes:
        construct_id: Of the alarm.
        qualifier: In the alarm's name, and the section of the runbook.
        metric: What is measured.
        threshold: Where the line is.
        comparison: On which side of it the alarm goes off.
        periods: For how many of the metric's periods in a row.
        missing_alarms: Whether no data is an alarm, too.
        gates: Whether payments, or the ground that they would be moved to, are unsafe: then nothing is moved.
        description: What it means and what to do, for the person who is woken.
    """

    construct_id: str
    qualifier: str
    metric: cloudwatch.IMetric
    threshold: float
    comparison: cloudwatch.ComparisonOperator = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD
    periods: int = 3
    missing_alarms: bool = False
    gates: bool = True
    description: str

    def alarm(
        self, scope: Construct, *, environment: str, suffix: str, topic: sns.ITopic, runbook: str
    ) -> cloudwatch.Alarm:
        """The alarm that goes off when the line is crossed.

        Args:
            scope: Its parent.
            environment: source or target.
            suffix: The deployment's environmentSuffix.
            topic: Where it is sent, and its end; in the region of the metric, as the alarm is.
            runbook: Where the runbook is; its section is linked with ``#<qualifier>``.
        """
        alarm = cloudwatch.Alarm(
            scope,
            self.construct_id,
            alarm_name=resource_name("alarm", environment, suffix, qualifier=self.qualifier),
            alarm_description=f"{self.description} Runbook: {runbook}#{self.qualifier}",
            metric=self.metric,
            threshold=self.threshold,
            comparison_operator=self.comparison,
            evaluation_periods=self.periods,
            datapoints_to_alarm=self.periods,
            treat_missing_data=cloudwatch.TreatMissingData.BREACHING
            if self.missing_alarms
            else cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        action = actions.SnsAction(topic)
        alarm.add_alarm_action(action)
        alarm.add_ok_action(action)
        return alarm


def service_lines(service: MonitoredService, *, desired_count: int, max_count: int) -> Iterator[Line]:
    """Of a service and its load balancer.

    Args:
        service: The service.
        desired_count: Tasks that it should have at least.
        max_count: Tasks that autoscaling gives it at most.
    """
    yield Line(
        construct_id="LoadBalancerErrors",
        qualifier="load-balancer-5xx",
        metric=service.load_balancer("HTTPCode_ELB_5XX_Count"),
        threshold=_SERVER_ERRORS_PER_MINUTE,
        description="The load balancer itself answers 5xx: no healthy task, or tasks that hang up. "
        "Look at the target group's health; `pm rollback` moves traffic and writer back.",
    )
    yield Line(
        construct_id="ServiceErrors",
        qualifier="service-5xx",
        metric=service.targets("HTTPCode_Target_5XX_Count", statistic="Sum"),
        threshold=_SERVER_ERRORS_PER_MINUTE,
        description="The payment service answers 5xx: it finds no open writer within its deadline, or fails. "
        "`pm status` shows the writer; `pm rollback` moves traffic and writer back.",
    )
    yield Line(
        construct_id="ResponseTime",
        qualifier="response-time",
        metric=service.targets("TargetResponseTime", statistic="p99"),
        threshold=_SLOW_SECONDS,
        description=f"One of a hundred requests takes longer than {_SLOW_SECONDS} s: the database or the way to it "
        "is slow, or the writer moves. `pm status` shows the writer.",
    )
    yield Line(
        construct_id="UnhealthyHosts",
        qualifier="unhealthy-hosts",
        metric=service.targets("UnHealthyHostCount", statistic="Minimum"),
        threshold=0,
        description="A task fails its health check and is not replaced: look at the service's events and its log.",
    )
    yield Line(
        construct_id="RunningTasks",
        qualifier="running-tasks",
        metric=service.insight("RunningTaskCount"),
        threshold=desired_count,
        comparison=_BELOW,
        description=f"Fewer than the {desired_count} tasks that the service should have at least: look at "
        "the service's events.",
    )
    yield Line(
        construct_id="Saturated",
        qualifier="service-saturated",
        metric=cloudwatch.MathExpression(
            expression=f"IF(tasks >= {max_count} AND cpu > {_BUSY_PERCENT}, 1, 0)",
            using_metrics={"tasks": service.insight("RunningTaskCount"), "cpu": service.ecs("CPUUtilization")},
            label="busy with all the tasks that it may have",
            period=_MINUTE,
        ),
        threshold=0,
        periods=5,
        description=f"All {max_count} tasks that autoscaling may start are busy for more than {_BUSY_PERCENT} %: no "
        "room for more traffic, so no shift to here. A larger desiredCount for the environment.",
    )


def endpoint_lines(endpoint: MonitoredEndpoint, certificate: MonitoredCertificate) -> Iterator[Line]:
    """Of what clients reach."""
    if endpoint.rings:
        yield Line(
            construct_id="EndpointDown",
            qualifier="endpoint-down",
            metric=endpoint.status(),
            threshold=1,
            comparison=_BELOW,
            description="Route 53's health checkers do not reach the environment, which gets no traffic meanwhile if "
            "the other one is healthy.",
        )
    yield Line(
        construct_id="CertificateExpiry",
        qualifier="certificate-expiry",
        metric=certificate.days_to_expiry(),
        threshold=_EXPIRY_DAYS,
        comparison=_BELOW,
        periods=1,
        gates=False,
        description=f"The certificate that clients see ends in less than {_EXPIRY_DAYS} days and ACM has not renewed "
        "it: the record that validates it is missing from the zone, or the zone is not delegated any more.",
    )


def database_lines(database: MonitoredDatabase, *, storage_gib: int, max_connections: int) -> Iterator[Line]:
    """Of a database.

    Args:
        database: The database.
        storage_gib: Its allocated storage.
        max_connections: How many sessions it takes.
    """
    storage_bytes = storage_gib * 1024**3
    yield Line(
        construct_id="DatabaseCpu",
        qualifier="database-cpu",
        metric=database.metric("CPUUtilization"),
        threshold=_BUSY_PERCENT,
        description=f"The database's processors are busy for more than {_BUSY_PERCENT} %: no load and no "
        "verification now; a larger class, if it stays.",
    )
    yield Line(
        construct_id="DatabaseConnections",
        qualifier="database-connections",
        metric=database.metric("DatabaseConnections", statistic="Maximum"),
        threshold=max_connections * _CONNECTIONS_SHARE,
        description=f"More than {_CONNECTIONS_SHARE:.0%} of the {max_connections} sessions that the database takes are "
        "open: further tasks of the service will be refused. See who holds them in pg_stat_activity.",
    )
    yield Line(
        construct_id="DatabaseMemory",
        qualifier="database-memory",
        metric=database.metric("FreeableMemory", statistic="Minimum"),
        threshold=_FREE_MEMORY_BYTES,
        comparison=_BELOW,
        periods=5,
        description="The database is about to swap, and every payment will wait for its disk: fewer sessions, or a "
        "larger databaseInstanceClass, before the migration goes on.",
    )
    for construct_id, qualifier, metric, what in (
        ("SlotLag", "slot-lag", "OldestReplicationSlotLag", "A replication slot is not read"),
        ("WalDisk", "wal-disk", "TransactionLogsDiskUsage", "The write-ahead log grows"),
    ):
        yield Line(
            construct_id=construct_id,
            qualifier=qualifier,
            metric=database.metric(metric, statistic="Maximum"),
            threshold=storage_bytes * WAL_SHARE,
            description=f"{what}: more than {WAL_SHARE:.0%} of the storage is write-ahead log that a slot keeps. "
            "At a quarter PostgreSQL gives the slot up, and everything must be loaded again: start the task that "
            "reads it, or drop the slot (`pm status` shows both).",
        )
    yield Line(
        construct_id="FreeStorage",
        qualifier="free-storage",
        metric=database.metric("FreeStorageSpace", statistic="Minimum"),
        threshold=storage_bytes / 5,
        comparison=_BELOW,
        description="Less than a fifth of the database's storage is free. A stopped replication task makes the "
        "other database keep its write-ahead log: `pm status` shows each slot's lag.",
    )


def rotation_line(database: MonitoredDatabase) -> Line:
    """Of its users' passwords; the old one is good until a new one is there, so that payments go on."""
    return Line(
        construct_id="SecretRotation",
        qualifier="secret-rotation",
        metric=cloudwatch.MathExpression(
            expression=f"SUM([{', '.join(database.rotations)}])",
            using_metrics={username: database.rotation_errors(username) for username in database.rotations},
            label="failed rotations",
            period=_MINUTE,
        ),
        threshold=0,
        periods=1,
        gates=False,
        description="The rotation of a database user's password failed: the old one stays in force, longer than it "
        "should. The log of the function says why.",
    )


def log_lines(logs: MonitoredLogs) -> Iterator[Line]:
    """Of the copying of transaction logs, by rule, where they are; it says nothing about payments."""
    for rule in logs.replicas:
        yield Line(
            construct_id=f"LogReplication{rule.capitalize()}",
            qualifier=f"log-replication-{rule}",
            metric=logs.failed(rule),
            threshold=0,
            periods=1,
            gates=False,
            description=f"S3 gave up on copying a transaction log by rule {rule}: the data stack's outputs hold "
            "the command that copies again.",
        )


def replica_line(logs: MonitoredLogs, *, rule: str) -> Line:
    """Of the copies of transaction logs by one rule, where they arrive; it says nothing about payments."""
    return Line(
        construct_id="Late",
        qualifier=f"log-replication-late-{rule}",
        metric=logs.latency(rule),
        threshold=_LATE_SECONDS,
        gates=False,
        description=f"A transaction log waits more than {_LATE_SECONDS // 60} minutes to be copied by rule {rule}: "
        "the audit trail of these minutes is in one region only.",
    )


def replication_lines(replication: MonitoredReplication, *, some_task_runs: bool) -> Iterator[Line]:
    """Of a replication as a whole and of its tasks, but for their lag.

    Args:
        replication: The replication.
        some_task_runs: Whether one of the tasks, whichever it is, should be running.
    """
    for task in replication.task_arns:
        yield Line(
            construct_id=f"{task.capitalize()}Validation",
            qualifier=f"{task}-validation",
            metric=replication.task(task, "ValidationFailedOverallCount", statistic="Maximum"),
            threshold=0,
            periods=1,
            description=f"Task {task}: DMS found rows that are not the same on both sides. No cutover until "
            "`pm verify` finds both equal and the tables were validated anew.",
        )
    yield Line(
        construct_id="ReplicationSilent",
        qualifier="replication-silent",
        metric=cloudwatch.MathExpression(
            expression=f"SUM([{', '.join(replication.task_arns)}])",
            using_metrics={
                # Every task that runs reports it, whether it loads or follows.
                task: replication.task(task, "MemoryUsage", statistic="SampleCount")
                for task in replication.task_arns
            },
            label="reports of all tasks",
            period=_MINUTE,
        ),
        threshold=1,
        comparison=_BELOW,
        periods=5,
        missing_alarms=some_task_runs,
        description="No replication task reports anything: the one that should follow the writer failed, was stopped, "
        "or was never started. Without it there is no way on, and none back. `pm status` shows all of them.",
    )
    yield Line(
        construct_id="ReplicationInstanceMemory",
        qualifier="replication-memory",
        metric=replication.instance("AvailableMemory", statistic="Minimum"),
        threshold=_FREE_MEMORY_BYTES,
        comparison=_BELOW,
        description="The replication instance is about to swap changes to its disk, and lag will grow: a "
        "larger replicationInstanceClass, before the migration goes on.",
    )
    yield Line(
        construct_id="ReplicationInstanceStorage",
        qualifier="replication-storage",
        metric=replication.instance("FreeStorageSpace", statistic="Minimum"),
        threshold=_REPLICATION_FREE_BYTES,
        comparison=_BELOW,
        description="The replication instance's disk fills up with changes that wait to be applied and with logs; when "
        "it is full, DMS stops reading. See the lag of its tasks first.",
    )


def lag_lines(replication: MonitoredReplication, *, running_tasks: frozenset[str]) -> Iterator[Line]:
    """How far each task is behind, on both sides.

    Args:
        replication: The replication.
        running_tasks: Tasks that should be running now: for these no data is an alarm, too.
    """
    for task in replication.task_arns:
        for side, what in (
            ("Source", "read from the database it reads"),
            ("Target", "applied to the database it writes"),
        ):
            yield Line(
                construct_id=f"{task.capitalize()}Lag{side}",
                qualifier=f"{task}-lag-{side.lower()}",
                metric=replication.task(task, f"CDCLatency{side}", statistic="Maximum"),
                threshold=LAG_LIMIT_SECONDS,
                missing_alarms=task in running_tasks,
                description=f"Task {task}: changes wait more than {LAG_LIMIT_SECONDS} s to be {what}. No shift and no "
                "cutover until it is over; `pm status` shows the task and its error.",
            )
