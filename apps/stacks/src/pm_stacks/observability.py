"""Dashboards, alarms and events of one environment as a stack; in the target, of the migration, too."""

from typing import get_args

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2

from pm_core import (
    CertificateContract,
    ComputeContract,
    DataContract,
    Environment,
    MigrationPhase,
    NetworkContract,
    ObservabilityContract,
    ReplicationContract,
    Settings,
    TrafficContract,
    ZoneContract,
    resource_name,
)
from pm_data import LOGIN_ROLES, MASTER_USERNAME, log_bucket_name, rotation_function_name
from pm_observability import (
    RUNBOOK,
    UNSAFE,
    AlarmTopic,
    AskedDatabase,
    EnvironmentDashboard,
    EnvironmentDashboardProps,
    LogReplica,
    MigrationAlarms,
    MigrationAlarmsProps,
    MigrationDashboard,
    MigrationDashboardProps,
    MonitoredCertificate,
    MonitoredDatabase,
    MonitoredEndpoint,
    MonitoredEnvironment,
    MonitoredLogs,
    MonitoredReplication,
    MonitoredService,
    ReplicationStatus,
    ReplicationStatusProps,
    ServiceEvents,
    ServiceEventsProps,
)
from pm_stacks.base import TierStack
from pm_stacks.next_command import IN_PHASE

# Until the first cutover the load task must run. After it, which task runs depends on who the writer is.
_LOAD_RUNS: frozenset[MigrationPhase] = frozenset({"replicate", "shift"})
# From the load to `pm finish` one of the tasks always does, whichever it is.
_SOME_TASK_RUNS: frozenset[MigrationPhase] = frozenset({"replicate", "shift", "cutover"})
_TASKS = ("load", "forward", "reverse")
# What a parameter says where there is nothing: it cannot be empty.
_NONE = "-"


class ObservabilityStack(TierStack):
    """What a person watches. The target's also shows the migration: replication, and both environments side by side.

    In phase ``complete`` it reads nothing of the source and of the replication, so that both can be destroyed.
    """

    def __init__(self, *, app: cdk.App, environment: Environment, settings: Settings) -> None:
        super().__init__(app=app, tier="observability", environment=environment, settings=settings)
        self._runbook = settings.runbook_url or RUNBOOK
        migrates = environment == "target" and settings.migration_phase != "complete"
        monitored = self._monitored(environment)
        replication = self._replication() if migrates else None
        topic = AlarmTopic(
            self, "AlarmTopic", environment=environment, suffix=settings.environment_suffix, mail=settings.alarm_mail
        )
        dashboard = EnvironmentDashboard(
            self,
            "Dashboard",
            props=EnvironmentDashboardProps(
                environment=environment,
                suffix=settings.environment_suffix,
                monitored=monitored,
                runbook=self._runbook,
            ),
        )
        tasks = settings.environment(environment)
        alarms = MigrationAlarms(
            self,
            "Alarms",
            props=MigrationAlarmsProps(
                environment=environment,
                suffix=settings.environment_suffix,
                topic=topic.topic,
                monitored=monitored,
                certificate=MonitoredCertificate(
                    certificate_arn=self.read(CertificateContract, environment="source").certificate_arn
                ),
                database_storage_gib=settings.database_storage_gib,
                database_max_connections=settings.database_max_connections,
                desired_count=tasks.desired_count,
                max_count=tasks.max_count,
                replication=replication,
                running_tasks=frozenset({"load"} if settings.migration_phase in _LOAD_RUNS else ()),
                some_task_runs=settings.migration_phase in _SOME_TASK_RUNS,
                runbook=self._runbook,
            ),
        )
        ServiceEvents(
            self,
            "Events",
            props=ServiceEventsProps(
                environment=environment,
                suffix=settings.environment_suffix,
                topic=topic,
                database=monitored.database,
                service=monitored.service,
                replication=replication,
            ),
        )
        migration = self._migration(replication, monitored, alarms) if replication is not None else None
        self.publish(
            ObservabilityContract(
                dashboard_name=dashboard.dashboard_name,
                migration_dashboard_name=_NONE if migration is None else migration.dashboard_name,
                topic_arn=topic.topic.topic_arn,
                # A parameter cannot be empty: a list without a name is a lone comma.
                lag_alarm_names=",".join(alarm.alarm_name for alarm in alarms.lag_alarms) or ",",
                unsafe_alarm_name=alarms.unsafe.alarm_name,
            )
        )
        cdk.CfnOutput(self, "DashboardUrl", value=dashboard.url, description="The environment's dashboard.")
        cdk.CfnOutput(
            self,
            "SubscribeCommand",
            value=topic.subscribe_command,
            description="Sends the alarms to a mailbox; put yours for ADDRESS.",
        )

    def _monitored(self, environment: Environment) -> MonitoredEnvironment:
        compute = self.read(ComputeContract, environment=environment)
        data = self.read(DataContract, environment=environment)
        return MonitoredEnvironment(
            database=MonitoredDatabase(
                instance_id=data.instance_id,
                rotations={
                    username: rotation_function_name(environment, self.settings.environment_suffix, username=username)
                    for username in (MASTER_USERNAME, *LOGIN_ROLES)
                },
            ),
            service=MonitoredService(
                cluster_name=compute.cluster_name,
                service_name=compute.service_name,
                load_balancer_full_name=compute.load_balancer_full_name,
                target_group_arn=compute.target_group_arn,
            ),
            endpoint=MonitoredEndpoint(
                health_check_id=self.read(TrafficContract, environment=environment).health_check_id,
                region=self.settings.region,
            ),
            logs=MonitoredLogs(
                bucket=data.log_bucket,
                region=self.settings.region,
                replicas=self._log_replicas(environment, data),
            ),
        )

    def _log_replicas(self, environment: Environment, data: DataContract) -> dict[str, LogReplica]:
        """By the rules that the data stack makes in this phase."""
        settings = self.settings
        replicas = {"audit": LogReplica(bucket=data.replica_bucket, region=settings.replica_region)}
        if environment == "source" and settings.migration_phase != "prepare":
            bucket = log_bucket_name("target", settings.environment_suffix)
            replicas["migration"] = LogReplica(bucket=bucket, region=settings.region)
        return replicas

    def _replication(self) -> MonitoredReplication:
        replication, suffix = self.read(ReplicationContract), self.settings.environment_suffix
        return MonitoredReplication(
            # The contract has the ARNs, the metrics know the instance and events know the tasks by their names.
            instance_identifier=resource_name("replication-instance", "target", suffix),
            task_arns={
                "load": replication.load_task_arn,
                "forward": replication.forward_task_arn,
                "reverse": replication.reverse_task_arn,
            },
            task_identifiers={
                task: resource_name("replication-task", "target", suffix, qualifier=task) for task in _TASKS
            },
        )

    def _migration(
        self, replication: MonitoredReplication, target: MonitoredEnvironment, alarms: MigrationAlarms
    ) -> MigrationDashboard:
        settings = self.settings
        status = self._status(replication)
        # The source's is named, not read: both stacks deploy in any order.
        source_unsafe = resource_name("alarm", "source", settings.environment_suffix, qualifier=UNSAFE)
        dashboard = MigrationDashboard(
            self,
            "Migration",
            props=MigrationDashboardProps(
                environment=self.environment_name,
                suffix=settings.environment_suffix,
                phase=settings.migration_phase,
                next_command=IN_PHASE[settings.migration_phase].line,
                monitored={"source": self._monitored("source"), "target": target},
                replication=replication,
                alarms=[
                    cloudwatch.Alarm.from_alarm_name(self, "SourceUnsafe", source_unsafe),
                    alarms.unsafe,
                    *alarms.lag_alarms,
                    *alarms.other_alarms,
                ],
                status_function_arn=status.function.function_arn,
                database_storage_gib=settings.database_storage_gib,
                runbook=self._runbook,
            ),
        )
        cdk.CfnOutput(
            self, "MigrationDashboardUrl", value=dashboard.url, description="The migration, both sides of it."
        )
        return dashboard

    def _status(self, replication: MonitoredReplication) -> ReplicationStatus:
        settings, zone, network = (
            self.settings,
            self.read(ZoneContract, environment="source"),
            self.read(NetworkContract),
        )
        databases = {name: self.read(DataContract, environment=name) for name in get_args(Environment)}
        status = ReplicationStatus(
            self,
            "Status",
            props=ReplicationStatusProps(
                environment=self.environment_name,
                suffix=settings.environment_suffix,
                replication=replication,
                hosted_zone_id=zone.hosted_zone_id,
                record_name=zone.record_name,
                databases={
                    name: AskedDatabase(secret_arn=database.status_secret_arn, key_arn=database.key_arn)
                    for name, database in databases.items()
                },
                ssl_mode=settings.database_ssl_mode,
                subnet_ids=network.private_subnet_ids,
                security_group=ec2.SecurityGroup.from_security_group_id(
                    self, "FunctionsGroup", network.function_security_group_id, mutable=False
                ),
                log_retention_days=settings.log_retention_days,
            ),
        )
        cdk.CfnOutput(
            self,
            "StatusEndpoint",
            value=status.url,
            description="Writer, tasks, lag, tables, validation and weights as JSON, for callers let in by IAM.",
        )
        cdk.CfnOutput(
            self,
            "StatusEndpointCommand",
            value=f"curl --aws-sigv4 aws:amz:{settings.region}:lambda"
            ' --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"'
            f' --header "x-amz-security-token: $AWS_SESSION_TOKEN" {status.url}',
            description="Asks it; `eval $(aws configure export-credentials --format env)` sets the variables.",
        )
        return status
