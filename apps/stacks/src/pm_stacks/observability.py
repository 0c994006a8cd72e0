"""Dashboard and alarms of one environment as a stack."""

import aws_cdk as cdk

from pm_core import (
    ComputeContract,
    DataContract,
    Environment,
    MigrationPhase,
    ObservabilityContract,
    ReplicationContract,
    Settings,
    TrafficContract,
    ZoneContract,
    resource_name,
)
from pm_observability import (
    AlarmTopic,
    MigrationAlarms,
    MigrationAlarmsProps,
    MigrationDashboard,
    MigrationDashboardProps,
    MonitoredDatabase,
    MonitoredEndpoint,
    MonitoredLogs,
    MonitoredReplication,
    MonitoredService,
    ReplicationStatus,
    ReplicationStatusProps,
)
from pm_stacks.base import TierStack

# Until the first cutover the load task must run. After it, which task runs depends on who the writer is, and the
# engine watches that one.
_LOAD_RUNS: frozenset[MigrationPhase] = frozenset({"replicate", "shift"})


class ObservabilityStack(TierStack):
    """What a person watches; the replication is shown and alarmed in its own environment, the target."""

    def __init__(self, *, app: cdk.App, environment: Environment, settings: Settings) -> None:
        super().__init__(app=app, tier="observability", environment=environment, settings=settings)
        compute = self.read(ComputeContract)
        data = self.read(DataContract)
        database = MonitoredDatabase(instance_id=data.instance_id)
        endpoint = MonitoredEndpoint(health_check_id=self.read(TrafficContract).health_check_id)
        logs = MonitoredLogs(bucket=data.log_bucket, replicas={"audit": data.replica_bucket})
        service = MonitoredService(
            cluster_name=compute.cluster_name,
            service_name=compute.service_name,
            load_balancer_full_name=compute.load_balancer_full_name,
            target_group_arn=compute.target_group_arn,
        )
        replication = self._replication() if environment == "target" else None
        if replication is not None:
            self._status(replication)
        topic = AlarmTopic(
            self,
            "AlarmTopic",
            environment=environment,
            suffix=settings.environment_suffix,
            mail=settings.alarm_mail,
        ).topic
        dashboard = MigrationDashboard(
            self,
            "Dashboard",
            props=MigrationDashboardProps(
                environment=environment,
                suffix=settings.environment_suffix,
                database=database,
                service=service,
                endpoint=endpoint,
                logs=logs,
                replication=replication,
            ),
        )
        alarms = MigrationAlarms(
            self,
            "Alarms",
            props=MigrationAlarmsProps(
                environment=environment,
                suffix=settings.environment_suffix,
                topic=topic,
                database=database,
                database_storage_gib=settings.database_storage_gib,
                service=service,
                desired_count=settings.environment(environment).desired_count,
                endpoint=endpoint,
                logs=logs,
                replication=replication,
                running_tasks=frozenset({"load"} if settings.migration_phase in _LOAD_RUNS else ()),
            ),
        )
        self.publish(
            ObservabilityContract(
                dashboard_name=dashboard.dashboard_name,
                topic_arn=topic.topic_arn,
                # A parameter cannot be empty: a list without a name is a lone comma.
                lag_alarm_names=",".join(alarm.alarm_name for alarm in alarms.lag_alarms) or ",",
                unsafe_alarm_name=alarms.unsafe.alarm_name,
            )
        )
        cdk.CfnOutput(self, "DashboardUrl", value=dashboard.url, description="The environment's dashboard.")
        cdk.CfnOutput(
            self,
            "SubscribeCommand",
            value=f"aws sns subscribe --protocol email --topic-arn {topic.topic_arn} --notification-endpoint ADDRESS",
            description="Sends the alarms to a mailbox; put yours for ADDRESS.",
        )

    def _status(self, replication: MonitoredReplication) -> None:
        settings, zone = self.settings, self.read(ZoneContract, environment="source")
        status = ReplicationStatus(
            self,
            "Status",
            props=ReplicationStatusProps(
                environment=self.environment_name,
                suffix=settings.environment_suffix,
                task_arns=replication.task_arns,
                instance_identifier=replication.instance_identifier,
                hosted_zone_id=zone.hosted_zone_id,
                record_name=zone.record_name,
                log_retention_days=settings.log_retention_days,
            ),
        )
        cdk.CfnOutput(
            self,
            "StatusEndpoint",
            value=status.url,
            description="Replication status as JSON, for callers let in by IAM.",
        )
        cdk.CfnOutput(
            self,
            "StatusEndpointCommand",
            value=f"curl --aws-sigv4 aws:amz:{settings.region}:lambda"
            ' --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"'
            f' --header "x-amz-security-token: $AWS_SESSION_TOKEN" {status.url}',
            description="Asks it; `eval $(aws configure export-credentials --format env)` sets the variables.",
        )

    def _replication(self) -> MonitoredReplication:
        replication = self.read(ReplicationContract)
        return MonitoredReplication(
            # The contract has the ARN, the metrics know the instance by its name.
            instance_identifier=resource_name("replication-instance", "target", self.settings.environment_suffix),
            task_arns={
                "load": replication.load_task_arn,
                "forward": replication.forward_task_arn,
                "reverse": replication.reverse_task_arn,
            },
        )
