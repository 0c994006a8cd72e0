"""What must wake a person."""

from dataclasses import dataclass

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from pm_core import resource_name
from pm_observability.metrics import MonitoredDatabase, MonitoredReplication, MonitoredService

LAG_LIMIT_SECONDS = 60
# A load balancer answers 5xx now and then while tasks are replaced; this many in a minute are not chance.
_SERVER_ERRORS_PER_MINUTE = 5
_EVALUATED_MINUTES = 3


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
    replication: MonitoredReplication | None = None
    running_tasks: frozenset[str] = frozenset()


class MigrationAlarms(Construct):
    """Replication lag on both sides of DMS, failing requests, and a filling disk.

    Attributes:
        lag_alarms: Two per task: changes not read from the source, changes not applied to the target.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: MigrationAlarmsProps) -> None:
        super().__init__(scope, construct_id)
        self._props = props
        self.lag_alarms: list[cloudwatch.Alarm] = []
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
            "FreeStorage",
            "free-storage",
            metric=props.database.metric("FreeStorageSpace", statistic="Minimum"),
            threshold=props.database_storage_gib * 1024**3 / 5,
            comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            description="Less than a fifth of the database's storage is free. A stopped replication task makes the "
            "other database keep its write-ahead log: `pm status` shows each slot's lag.",
        )

    def _lag(self, replication: MonitoredReplication, task: str, side: str, what: str) -> None:
        should_run = task in self._props.running_tasks
        alarm = self._alarm(
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
        missing: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING,
    ) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            construct_id,
            alarm_name=resource_name("alarm", self._props.environment, self._props.suffix, qualifier=qualifier),
            alarm_description=description,
            metric=metric,
            threshold=threshold,
            comparison_operator=comparison,
            evaluation_periods=_EVALUATED_MINUTES,
            datapoints_to_alarm=_EVALUATED_MINUTES,
            treat_missing_data=missing,
        )
        action = actions.SnsAction(self._props.topic)
        alarm.add_alarm_action(action)
        alarm.add_ok_action(action)
        return alarm
