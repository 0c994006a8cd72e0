"""The audit replica of one environment's transaction logs as a stack, in another region, and the alarm on it."""

import aws_cdk as cdk

from pm_core import Environment, Settings
from pm_data import AuditReplica, AuditReplicaProps, log_bucket_name
from pm_observability import RUNBOOK, AlarmTopic, LogReplica, MonitoredLogs, ReplicaAlarm
from pm_stacks.base import TierStack


class AuditStack(TierStack):
    """The bucket that the environment's log bucket is copied to; it stands, versioned, before that one.

    It publishes no contract: parameters do not cross regions, and the names of both buckets and of the key's alias are
    derived. Alarms do not cross regions either, and S3 publishes here how late the copies are: so the alarm on that is
    here, with a topic of its own.
    """

    def __init__(self, *, app: cdk.App, environment: Environment, settings: Settings) -> None:
        super().__init__(app=app, tier="audit", environment=environment, settings=settings)
        replica = AuditReplica(
            self,
            "Replica",
            props=AuditReplicaProps(
                environment=environment,
                suffix=settings.environment_suffix,
                log_retention_days=settings.log_retention_days,
            ),
        )
        self._alarm(replica)
        cdk.CfnOutput(
            self,
            "ReplicaBucket",
            value=replica.bucket.bucket_name,
            description="Holds the copies of the transaction logs, for auditors.",
        )
        cdk.CfnOutput(
            self,
            "ReplicaContentCommand",
            value=f"aws s3api list-object-versions --region {settings.replica_region}"
            f" --bucket {replica.bucket.bucket_name} --max-items 20",
            description="Lists copies, every version of each.",
        )

    def _alarm(self, replica: AuditReplica) -> None:
        environment, settings = self.environment_name, self.settings
        topic = AlarmTopic(
            self, "AlarmTopic", environment=environment, suffix=settings.environment_suffix, mail=settings.alarm_mail
        )
        ReplicaAlarm(
            self,
            "ReplicaAlarm",
            environment=environment,
            suffix=settings.environment_suffix,
            topic=topic.topic,
            logs=MonitoredLogs(
                bucket=log_bucket_name(environment, settings.environment_suffix),
                region=settings.region,
                replicas={"audit": LogReplica(bucket=replica.bucket.bucket_name, region=settings.replica_region)},
            ),
            rule="audit",
            runbook=settings.runbook_url or RUNBOOK,
        )
        cdk.CfnOutput(
            self,
            "SubscribeCommand",
            value=topic.subscribe_command,
            description="Sends the alarm about late copies to a mailbox; put yours for ADDRESS.",
        )
