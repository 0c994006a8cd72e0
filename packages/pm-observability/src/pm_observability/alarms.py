"""What must wake a person."""

from dataclasses import dataclass

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from pm_core import resource_name
from pm_observability.lines import (
    Line,
    database_lines,
    endpoint_lines,
    lag_lines,
    log_lines,
    replication_lines,
    service_lines,
)
from pm_observability.metrics import MonitoredCertificate, MonitoredEnvironment, MonitoredReplication

RUNBOOK = "docs/runbook.md"
UNSAFE = "migration-unsafe"


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationAlarmsProps:
    """What the alarms watch.

    Attributes:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        topic: Where alarms are sent, and their ends.
        monitored: What is measured in the environment.
        certificate: What clients see.
        database_storage_gib: The database's allocated storage.
        database_max_connections: How many sessions the database takes.
        desired_count: Tasks that the service should have at least.
        max_count: Tasks that autoscaling gives the service at most.
        replication: The replication; None in the environment that does not host it.
        running_tasks: The replication tasks that should be running now, by short name: for these no data is an alarm
            too. A task that has never been started has no data and is not late.
        some_task_runs: Whether one of the tasks should be running now, whichever it is.
        runbook: Where the runbook is; its sections are linked with ``#<alarm>``.
    """

    environment: str
    suffix: str
    topic: sns.ITopic
    monitored: MonitoredEnvironment
    certificate: MonitoredCertificate
    database_storage_gib: int
    database_max_connections: int
    desired_count: int
    max_count: int
    replication: MonitoredReplication | None = None
    running_tasks: frozenset[str] = frozenset()
    some_task_runs: bool = False
    runbook: str = RUNBOOK


class MigrationAlarms(Construct):
    """Every line that needs a person, and one alarm that stands for all that make a move unsafe.

    Attributes:
        lag_alarms: Two per task: changes not read from the source, changes not applied to the target. The engine reads
            them by itself, because it knows which task should run now.
        other_alarms: All others.
        unsafe: Goes off with any of the others that gate; the engine moves nothing while it does.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: MigrationAlarmsProps) -> None:
        super().__init__(scope, construct_id)
        self._props = props
        monitored, replication = props.monitored, props.replication
        lines = [
            *service_lines(monitored.service, desired_count=props.desired_count, max_count=props.max_count),
            *endpoint_lines(monitored.endpoint, props.certificate),
            *database_lines(
                monitored.database,
                storage_gib=props.database_storage_gib,
                max_connections=props.database_max_connections,
            ),
            *log_lines(monitored.logs),
        ]
        lags: list[Line] = []
        if replication is not None:
            lines += replication_lines(replication, some_task_runs=props.some_task_runs)
            lags += lag_lines(replication, running_tasks=props.running_tasks)
        self.lag_alarms = [self._alarm(line) for line in lags]
        self.other_alarms = [self._alarm(line) for line in lines]
        self.unsafe = cloudwatch.CompositeAlarm(
            self,
            "MigrationUnsafe",
            composite_alarm_name=self._name(UNSAFE),
            alarm_description="No shift and no cutover now, for one of the other alarms goes off: `pm` refuses until "
            f"it is over. Runbook: {props.runbook}#alarms",
            alarm_rule=cloudwatch.AlarmRule.any_of(
                *(
                    cloudwatch.AlarmRule.from_alarm(alarm, cloudwatch.AlarmState.ALARM)
                    for line, alarm in zip(lines, self.other_alarms, strict=True)
                    if line.gates
                )
            ),
        )

    def _name(self, qualifier: str) -> str:
        return resource_name("alarm", self._props.environment, self._props.suffix, qualifier=qualifier)

    def _alarm(self, line: Line) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            line.construct_id,
            alarm_name=self._name(line.qualifier),
            alarm_description=f"{line.description} Runbook: {self._props.runbook}#{line.qualifier}",
            metric=line.metric,
            threshold=line.threshold,
            comparison_operator=line.comparison,
            evaluation_periods=line.periods,
            datapoints_to_alarm=line.periods,
            treat_missing_data=cloudwatch.TreatMissingData.BREACHING
            if line.missing_alarms
            else cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        action = actions.SnsAction(self._props.topic)
        alarm.add_alarm_action(action)
        alarm.add_ok_action(action)
        return alarm
