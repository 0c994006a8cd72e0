"""TransactionLogs: the bucket of one environment's transaction logs."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from pm_core import resource_name
from pm_data.provider import ResourceFunction

_ACCOUNT_ID_LENGTH = 12
_SHORTEST_ARCHIVE_DAYS = 30
_TIMEOUT_SECONDS = 900


class LogsPropsError(ValueError):
    """Props that S3 would refuse; the message says what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionLogsProps:
    """What a log bucket needs to know; checked before any construct exists.

    Attributes:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        key: Encrypts the objects.
        archive_after_days: Days until an object moves to Glacier Instant Retrieval, at least 30.
        expire_after_days: Days until an object is deleted, more than ``archive_after_days``. Default seven years.
        old_versions_days: Days until an overwritten or deleted version is gone.
        log_retention_days: Retention of the log of the function that empties the bucket.

    Raises:
        LogsPropsError: A value is outside S3's limits.

    Source: AWS::S3::Bucket LifecycleConfiguration.
    """

    environment: str
    suffix: str
    key: kms.IKey
    archive_after_days: int = 90
    expire_after_days: int = 2557
    old_versions_days: int = 90
    log_retention_days: int = 30

    def __post_init__(self) -> None:
        if self.archive_after_days < _SHORTEST_ARCHIVE_DAYS:
            raise LogsPropsError(f"archive_after_days {self.archive_after_days}: {_SHORTEST_ARCHIVE_DAYS} or more")
        if self.expire_after_days <= self.archive_after_days:
            raise LogsPropsError(
                f"expire_after_days {self.expire_after_days}: more than archive_after_days {self.archive_after_days}"
            )
        if self.old_versions_days < 1:
            raise LogsPropsError(f"old_versions_days {self.old_versions_days}: 1 or more")


class TransactionLogs(Construct):
    """A private, versioned, encrypted bucket that takes TLS only, and that is emptied when its stack is deleted.

    Attributes:
        bucket: The bucket. Its name ends in the account id: bucket names are shared by all accounts of the world.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: TransactionLogsProps) -> None:
        super().__init__(scope, construct_id)
        name = resource_name(
            "bucket", props.environment, props.suffix, qualifier="transaction-logs", reserve=_ACCOUNT_ID_LENGTH + 1
        )
        bucket = s3.Bucket(
            self,
            "Bucket",
            bucket_name=f"{name}-{cdk.Aws.ACCOUNT_ID}",
            versioned=True,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=props.key,
            bucket_key_enabled=True,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            removal_policy=cdk.RemovalPolicy.DESTROY,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="archive",
                    transitions=[
                        s3.Transition(
                            storage_class=s3.StorageClass.GLACIER_INSTANT_RETRIEVAL,
                            transition_after=cdk.Duration.days(props.archive_after_days),
                        )
                    ],
                    expiration=cdk.Duration.days(props.expire_after_days),
                    noncurrent_version_expiration=cdk.Duration.days(props.old_versions_days),
                    abort_incomplete_multipart_upload_after=cdk.Duration.days(7),
                )
            ],
        )
        self.bucket: s3.IBucket = bucket
        provider = ResourceFunction(
            self,
            "Emptying",
            environment=props.environment,
            suffix=props.suffix,
            qualifier="empty-bucket",
            module="bucket_emptying",
            description="Empties the transaction log bucket before it is deleted",
            key=props.key,
            log_retention_days=props.log_retention_days,
            timeout_seconds=_TIMEOUT_SECONDS,
        )
        permission = iam.Policy(
            self,
            "MayEmpty",
            roles=[provider.role],
            statements=[
                iam.PolicyStatement(actions=["s3:ListBucketVersions"], resources=[bucket.bucket_arn]),
                iam.PolicyStatement(
                    actions=["s3:DeleteObject", "s3:DeleteObjectVersion"], resources=[bucket.arn_for_objects("*")]
                ),
            ],
        )
        emptied = cdk.CustomResource(
            self,
            "Emptied",
            resource_type="Custom::EmptiedBucket",
            service_token=provider.function.function_arn,
            service_timeout=cdk.Duration.seconds(_TIMEOUT_SECONDS + 60),
            properties={"BucketName": bucket.bucket_name},
        )
        # Deleted first: while the bucket, its policy and the permission still stand.
        emptied.node.add_dependency(provider, permission)
        if bucket.policy is not None:
            emptied.node.add_dependency(bucket.policy)
