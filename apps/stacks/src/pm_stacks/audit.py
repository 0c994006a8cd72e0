"""The audit replica of one environment's transaction logs as a stack, in another region."""

import aws_cdk as cdk

from pm_core import Environment, Settings
from pm_data import AuditReplica, AuditReplicaProps
from pm_stacks.base import TierStack


class AuditStack(TierStack):
    """The bucket that the environment's log bucket is copied to; it stands, versioned, before that one.

    It publishes no contract: parameters do not cross regions, and the name of bucket and key alias are derived.
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
