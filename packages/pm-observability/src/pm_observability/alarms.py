"""What must wake a person."""

from dataclasses import dataclass

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns
from constructs import Construct

from pm_core import resource_name
from pm_observability.lines import (
    Line,
    database_lines,
    endpoint_lines,
    lag_lines,
    log_lines,
    replica_line,
    replication_lines,
    rotation_line,
    service_lines,
)
from pm_observability.metrics import (
    MonitoredCertificate,
    MonitoredEnvironment,
    MonitoredLogs,
    MonitoredReplication,
)

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
            rotation_line(monitored.database),
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
            composite_alarm_name=resource_name("alarm", props.environment, props.suffix, qualifier=UNSAFE),
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

    def _alarm(self, line: Line) -> cloudwatch.Alarm:
        props = self._props
        return line.alarm(
            self, environment=props.environment, suffix=props.suffix, topic=props.topic, runbook=props.runbook
        )


class ReplicaAlarm(Construct):
    """What must wake a person where transaction logs are copied to: S3 publishes in that region how late copies are.

    Args:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        topic: Where the alarm is sent, and its end; in the replica's region.
        logs: The replication.
        rule: The rule that copies there.
        runbook: Where the runbook is; its section is linked with ``#log-replication-late-<rule>``.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        environment: str,
        suffix: str,
        topic: sns.ITopic,
        logs: MonitoredLogs,
        rule: str,
        runbook: str = RUNBOOK,
    ) -> None:
        super().__init__(scope, construct_id)
        replica_line(logs, rule=rule).alarm(self, environment=environment, suffix=suffix, topic=topic, runbook=runbook)
