"""What must wake a person."""

from dataclasses import dataclass

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from pm_core import resource_name
from pm_observability.metrics import (
    MonitoredDatabase,
    MonitoredEndpoint,
    MonitoredLogs,
    MonitoredReplication,
    MonitoredService,
)

LAG_LIMIT_SECONDS = 60
# A load balancer answers 5xx now and then while tasks are replaced; this many in a minute are not chance.
_SERVER_ERRORS_PER_MINUTE = 5
_EVALUATED_MINUTES = 3
_SLOW_SECONDS = 2
_BUSY_PERCENT = 80
# Half of the share at which PostgreSQL gives a slot up (max_slot_wal_keep_size, a quarter).
_WAL_SHARE = 0.125
_REPLICATION_FREE_BYTES = 512 * 1024**2
RUNBOOK = "docs/runbook.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationAlarmsProps:
    """What the alarms watch.

    Attributes:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        topic: Where alarms are sent, and their ends.
        database: The environment's database.
        database_storage_gib: Its allocated storage; below a fifth of it the storage alarm rings.
        service: The environment's service.
        desired_count: Tasks that it should have at least.
        endpoint: What Route 53 checks.
        logs: The replication of the environment's transaction logs.
        replication: The replication; None in the environment that does not host it.
        running_tasks: The replication tasks that should be running now, by short name: for these no data is an alarm
            too. A task that has never been started has no data and is not late.
    """

    environment: str
    suffix: str
    topic: sns.ITopic
    database: MonitoredDatabase
    database_storage_gib: int
    service: MonitoredService
    desired_count: int
    endpoint: MonitoredEndpoint
    logs: MonitoredLogs
    replication: MonitoredReplication | None = None
    running_tasks: frozenset[str] = frozenset()


class MigrationAlarms(Construct):
    """Every line that needs a person, and one alarm that stands for all of them.

    Attributes:
        lag_alarms: Two per task: changes not read from the source, changes not applied to the target.
        unsafe: Goes off with any of the others; the engine moves nothing while it does.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: MigrationAlarmsProps) -> None:
        super().__init__(scope, construct_id)
        self._props = props
        self.lag_alarms: list[cloudwatch.Alarm] = []
        self._other_alarms: list[cloudwatch.Alarm] = []
        if props.replication is not None:
            for task in props.replication.task_arns:
                self._lag(props.replication, task, "Source", "read from the database it reads")
                self._lag(props.replication, task, "Target", "applied to the database it writes")
        self._alarm(
            "LoadBalancerErrors",
            "load-balancer-5xx",
            metric=props.service.load_balancer("HTTPCode_ELB_5XX_Count"),
            threshold=_SERVER_ERRORS_PER_MINUTE,
            description="The load balancer itself answers 5xx: no healthy task, or tasks that hang up. "
            "Look at the target group's health; `pm rollback` moves traffic and writer back.",
        )
        self._alarm(
            "ServiceErrors",
            "service-5xx",
            metric=props.service.targets("HTTPCode_Target_5XX_Count", statistic="Sum"),
            threshold=_SERVER_ERRORS_PER_MINUTE,
            description="The payment service answers 5xx: it finds no open writer within its deadline, or fails. "
            "`pm status` shows the writer; `pm rollback` moves traffic and writer back.",
        )
        self._alarm(
            "ResponseTime",
            "response-time",
            metric=props.service.targets("TargetResponseTime", statistic="p99"),
            threshold=_SLOW_SECONDS,
            description=f"One of a hundred requests takes longer than {_SLOW_SECONDS} s: the database or the way to it "
            "is slow, or the writer moves. `pm status` shows the writer.",
        )
        self._alarm(
            "UnhealthyHosts",
            "unhealthy-hosts",
            metric=props.service.targets("UnHealthyHostCount", statistic="Minimum"),
            threshold=0,
            description="A task fails its health check and is not replaced: look at the service's events and its log.",
        )
        self._alarm(
            "RunningTasks",
            "running-tasks",
            metric=props.service.insight("RunningTaskCount"),
            threshold=props.desired_count,
            comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            description=f"Fewer than the {props.desired_count} tasks that the service should have at least: look at "
            "the service's events.",
        )
        self._alarm(
            "EndpointDown",
            "endpoint-down",
            metric=props.endpoint.status(),
            threshold=1,
            comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            description="Route 53's health checkers do not reach the environment, which gets no traffic meanwhile if "
            "the other one is healthy.",
        )
        self._database(props)
        for rule in props.logs.replicas:
            self._alarm(
                f"LogReplication{rule.capitalize()}",
                f"log-replication-{rule}",
                metric=props.logs.metric(rule, "OperationsFailedReplication", statistic="Sum"),
                threshold=0,
                minutes=1,
                description=f"S3 gave up on copying a transaction log by rule {rule}: the data stack's outputs hold "
                "the command that copies again.",
            )
        if props.replication is not None:
            self._alarm(
                "ReplicationInstanceMemory",
                "replication-memory",
                metric=props.replication.instance("FreeableMemory", statistic="Minimum"),
                threshold=_REPLICATION_FREE_BYTES,
                comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
                description="The replication instance is about to swap changes to its disk, and lag will grow: a "
                "larger replicationInstanceClass, before the migration goes on.",
            )
        self.unsafe = self._unsafe()

    def _unsafe(self) -> cloudwatch.CompositeAlarm:
        """Any alarm but those about lag, which the engine reads by itself: it knows which task should run now."""
        name = resource_name("alarm", self._props.environment, self._props.suffix, qualifier="migration-unsafe")
        return cloudwatch.CompositeAlarm(
            self,
            "MigrationUnsafe",
            composite_alarm_name=name,
            alarm_description="No shift and no cutover now, for one of the other alarms goes off: `pm` refuses until "
            "it is over.",
            alarm_rule=cloudwatch.AlarmRule.any_of(
                *(cloudwatch.AlarmRule.from_alarm(alarm, cloudwatch.AlarmState.ALARM) for alarm in self._other_alarms)
            ),
        )

    def _database(self, props: MigrationAlarmsProps) -> None:
        self._alarm(
            "DatabaseCpu",
            "database-cpu",
            metric=props.database.metric("CPUUtilization"),
            threshold=_BUSY_PERCENT,
            description=f"The database's processors are busy for more than {_BUSY_PERCENT} %: no load and no "
            "verification now; a larger class, if it stays.",
        )
        storage_bytes = props.database_storage_gib * 1024**3
        for construct_id, qualifier, metric, what in (
            ("SlotLag", "slot-lag", "OldestReplicationSlotLag", "A replication slot is not read"),
            ("WalDisk", "wal-disk", "TransactionLogsDiskUsage", "The write-ahead log grows"),
        ):
            self._alarm(
                construct_id,
                qualifier,
                metric=props.database.metric(metric, statistic="Maximum"),
                threshold=storage_bytes * _WAL_SHARE,
                description=f"{what}: more than {_WAL_SHARE:.0%} of the storage is write-ahead log that a slot keeps. "
                "At a quarter PostgreSQL gives the slot up, and everything must be loaded again: start the task that "
                "reads it, or drop the slot (`pm status` shows both).",
            )
        self._alarm(
            "FreeStorage",
            "free-storage",
            metric=props.database.metric("FreeStorageSpace", statistic="Minimum"),
            threshold=storage_bytes / 5,
            comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            description="Less than a fifth of the database's storage is free. A stopped replication task makes the "
            "other database keep its write-ahead log: `pm status` shows each slot's lag.",
        )

    def _lag(self, replication: MonitoredReplication, task: str, side: str, what: str) -> None:
        should_run = task in self._props.running_tasks
        alarm = self._make(
            f"{task.capitalize()}Lag{side}",
            f"{task}-lag-{side.lower()}",
            metric=replication.task(task, f"CDCLatency{side}", statistic="Maximum"),
            threshold=LAG_LIMIT_SECONDS,
            missing=cloudwatch.TreatMissingData.BREACHING if should_run else cloudwatch.TreatMissingData.NOT_BREACHING,
            description=f"Task {task}: changes wait more than {LAG_LIMIT_SECONDS} s to be {what}. No shift and no "
            "cutover until it is over; `pm status` shows the task and its error.",
        )
        self.lag_alarms.append(alarm)

    def _alarm(
        self,
        construct_id: str,
        qualifier: str,
        *,
        metric: cloudwatch.Metric,
        threshold: float,
        description: str,
        comparison: cloudwatch.ComparisonOperator = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
        minutes: int = _EVALUATED_MINUTES,
    ) -> None:
        """An alarm that makes a move unsafe; without data it is silent."""
        alarm = self._make(
            construct_id,
            qualifier,
            metric=metric,
            threshold=threshold,
            description=description,
            comparison=comparison,
            minutes=minutes,
        )
        self._other_alarms.append(alarm)

    def _make(
        self,
        construct_id: str,
        qualifier: str,
        *,
        metric: cloudwatch.Metric,
        threshold: float,
        description: str,
        comparison: cloudwatch.ComparisonOperator = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
        missing: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING,
        minutes: int = _EVALUATED_MINUTES,
    ) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            construct_id,
            alarm_name=resource_name("alarm", self._props.environment, self._props.suffix, qualifier=qualifier),
            alarm_description=f"{description} Runbook: {RUNBOOK}#{qualifier}",
            metric=metric,
            threshold=threshold,
            comparison_operator=comparison,
            evaluation_periods=minutes,
            datapoints_to_alarm=minutes,
            treat_missing_data=missing,
        )
        action = actions.SnsAction(self._props.topic)
        alarm.add_alarm_action(action)
        alarm.add_ok_action(action)
        return alarm
