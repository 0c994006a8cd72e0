"""AuditReplica: the copy of one environment's transaction logs in another region, for auditors."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from constructs import Construct

from pm_core import resource_name
from pm_core.cdk import CustomerKey, acknowledge
from pm_data.bucket_replication import Replica, replication_role_arn
from pm_data.private_bucket import PrivateBucket, bucket_name

_QUALIFIER = "audit"
# Paid for 90 days of Glacier Instant Retrieval in any case.
_SHORTEST_ARCHIVE_DAYS = 90
_IS_THE_REPLICA = "This bucket is the copy in the other region: its originals are in the transaction log bucket."


class AuditPropsError(ValueError):
    """Props that make no sense to S3; the message says what is allowed."""


def replica_bucket_name(environment: str, suffix: str) -> str:
    """Name of an environment's audit replica. Derived, not looked up: parameters do not cross regions."""
    return bucket_name(environment, suffix, qualifier=_QUALIFIER)


def replica_key_alias(environment: str, suffix: str) -> str:
    """Alias of the key that encrypts the audit replica, with ``alias/``; derived as the name is."""
    return f"alias/{resource_name('alias', environment, suffix, qualifier=_QUALIFIER)}"


def audit_replica(environment: str, suffix: str, *, region: str) -> Replica:
    """The audit replica of an environment, for the log bucket that is copied to it.

    Args:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        region: Where the replica lives.
    """
    alias = replica_key_alias(environment, suffix)
    return Replica(
        rule="audit",
        bucket=replica_bucket_name(environment, suffix),
        region=region,
        key_arn=f"arn:aws:kms:{region}:{cdk.Aws.ACCOUNT_ID}:{alias}",
        key_alias=alias,
        timed=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReplicaProps:
    """What an audit replica needs to know; checked before any construct exists.

    Attributes:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        archive_after_days: Days that a copy stays in Glacier Instant Retrieval, where it goes at once, until it moves
            to Glacier Deep Archive; at least 90.
        expire_after_days: Days until a copy, and any older version of it, is deleted. Default seven years.
        log_retention_days: Retention of the log of the function that empties the bucket.

    Raises:
        AuditPropsError: A value is outside its limits.

    Source: AWS::S3::Bucket LifecycleConfiguration.
    """

    environment: str
    suffix: str
    archive_after_days: int = 365
    expire_after_days: int = 2557
    log_retention_days: int = 30

    def __post_init__(self) -> None:
        if self.archive_after_days < _SHORTEST_ARCHIVE_DAYS:
            raise AuditPropsError(
                f"archive_after_days {self.archive_after_days}: give {_SHORTEST_ARCHIVE_DAYS} or more"
            )
        if self.expire_after_days <= self.archive_after_days:
            raise AuditPropsError(
                f"expire_after_days {self.expire_after_days}: give more than archive_after_days "
                f"{self.archive_after_days}"
            )


class AuditReplica(Construct):
    """A versioned bucket with a key of its own, into which nobody but the replication of the logs puts objects.

    Attributes:
        bucket: The bucket.
        key: Encrypts it.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: AuditReplicaProps) -> None:
        super().__init__(scope, construct_id)
        self.key = CustomerKey(
            self,
            "Key",
            environment=props.environment,
            suffix=props.suffix,
            qualifier=_QUALIFIER,
            description=f"Audit replica of the {props.environment} environment's transaction logs",
        )
        storage = PrivateBucket(
            self,
            "Storage",
            environment=props.environment,
            suffix=props.suffix,
            qualifier=_QUALIFIER,
            key=self.key,
            replicators=[replication_role_arn(props.environment, props.suffix)],
            closed=True,
            log_retention_days=props.log_retention_days,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="archive",
                    transitions=[
                        s3.Transition(
                            storage_class=s3.StorageClass.GLACIER_INSTANT_RETRIEVAL,
                            transition_after=cdk.Duration.days(0),
                        ),
                        s3.Transition(
                            storage_class=s3.StorageClass.DEEP_ARCHIVE,
                            transition_after=cdk.Duration.days(props.archive_after_days),
                        ),
                    ],
                    expiration=cdk.Duration.days(props.expire_after_days),
                    # As long as the newest: what an overwritten original said is evidence, too.
                    noncurrent_version_expiration=cdk.Duration.days(props.expire_after_days),
                )
            ],
        )
        acknowledge(
            storage.bucket,
            "PCI.DSS.321-S3BucketReplicationEnabled",
            "NIST.800.53.R5-S3BucketReplicationEnabled",
            reason=_IS_THE_REPLICA,
        )
        self.bucket: s3.IBucket = storage.bucket
