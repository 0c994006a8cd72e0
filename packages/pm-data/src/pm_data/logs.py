"""TransactionLogs: the bucket of one environment's transaction logs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from pm_data.bucket_replication import BucketReplication, Replica
from pm_data.private_bucket import PrivateBucket, bucket_name
from pm_data.replication_commands import Command, replication_commands

_QUALIFIER = "transaction-logs"
# S3 moves nothing to the infrequent access classes sooner.
_INFREQUENT_AFTER_DAYS = 30


def log_bucket_name(environment: str, suffix: str) -> str:
    """Name of an environment's log bucket, for what is made before it or in another region."""
    return bucket_name(environment, suffix, qualifier=_QUALIFIER)


class LogsPropsError(ValueError):
    """Props that S3 would refuse; the message says what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionLogsProps:
    """What a log bucket needs to know; checked before any construct exists.

    Attributes:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        key: Encrypts the objects.
        replicas: Where copies of new objects go, each rule once, the lowest priority first.
        replicators: ARNs of the roles with which S3 copies objects into this bucket.
        archive_after_days: Days until an object moves from Standard-IA to Glacier Instant Retrieval, at least 60 (an
            object is paid for 30 days of Standard-IA, where it comes after 30).
        expire_after_days: Days until an object is deleted, more than ``archive_after_days``. Default seven years.
        old_versions_days: Days until an overwritten or deleted version is gone.
        log_retention_days: Retention of the log of the function that empties the bucket.

    Raises:
        LogsPropsError: A value is outside S3's limits.

    Source: AWS::S3::Bucket LifecycleConfiguration and ReplicationConfiguration.
    """

    environment: str
    suffix: str
    key: kms.IKey
    replicas: Sequence[Replica] = ()
    replicators: Sequence[str] = ()
    archive_after_days: int = 90
    expire_after_days: int = 2557
    old_versions_days: int = 90
    log_retention_days: int = 30

    def __post_init__(self) -> None:
        if self.archive_after_days < 2 * _INFREQUENT_AFTER_DAYS:
            raise LogsPropsError(
                f"archive_after_days {self.archive_after_days}: give {2 * _INFREQUENT_AFTER_DAYS} or more"
            )
        if self.expire_after_days <= self.archive_after_days:
            raise LogsPropsError(
                f"expire_after_days {self.expire_after_days}: give more than archive_after_days "
                f"{self.archive_after_days}"
            )
        if self.old_versions_days < 1:
            raise LogsPropsError(f"old_versions_days {self.old_versions_days}: give 1 or more")
        rules = [replica.rule for replica in self.replicas]
        if len(set(rules)) != len(rules):
            raise LogsPropsError(f"replicas {rules}: give each rule once")


class TransactionLogs(Construct):
    """The logs' bucket: versioned, encrypted, private, copied to its replicas, and gone with its stack.

    Attributes:
        bucket: The bucket.
        commands: What an operator can ask of the replication and do about it, by output name; none without replicas.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: TransactionLogsProps) -> None:
        super().__init__(scope, construct_id)
        storage = PrivateBucket(
            self,
            "Storage",
            environment=props.environment,
            suffix=props.suffix,
            qualifier=_QUALIFIER,
            key=props.key,
            replicators=props.replicators,
            log_retention_days=props.log_retention_days,
            lifecycle_rules=[_tiering(props)],
        )
        self.bucket: s3.IBucket = storage.bucket
        self.commands: Mapping[str, Command] = {}
        if props.replicas:
            replication = BucketReplication(
                self,
                "Replication",
                environment=props.environment,
                suffix=props.suffix,
                bucket=storage.bucket,
                bucket_name=log_bucket_name(props.environment, props.suffix),
                key=props.key,
                replicas=props.replicas,
                reports=storage.access_logs,
            )
            self.commands = replication_commands(
                bucket=self.bucket,
                replicas=props.replicas,
                batch_role=replication.batch_role,
                reports=storage.access_logs,
            )


def _tiering(props: TransactionLogsProps) -> s3.LifecycleRule:
    return s3.LifecycleRule(
        id="archive",
        transitions=[
            s3.Transition(
                storage_class=s3.StorageClass.INFREQUENT_ACCESS,
                transition_after=cdk.Duration.days(_INFREQUENT_AFTER_DAYS),
            ),
            s3.Transition(
                storage_class=s3.StorageClass.GLACIER_INSTANT_RETRIEVAL,
                transition_after=cdk.Duration.days(props.archive_after_days),
            ),
        ],
        expiration=cdk.Duration.days(props.expire_after_days),
        noncurrent_version_expiration=cdk.Duration.days(props.old_versions_days),
    )
