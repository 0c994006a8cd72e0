"""PrivateBucket: how every bucket of this tier is kept, with the bucket that logs who used it."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from pm_core import resource_name
from pm_core.cdk import AccessLogBucket, BucketEmptying, unfinished_uploads

_ACCOUNT_ID_LENGTH = 12


def bucket_name(environment: str, suffix: str, *, qualifier: str) -> str:
    """``bucket-<qualifier>-<environment>-<suffix>-<account>``: the whole world shares the names of buckets."""
    name = resource_name("bucket", environment, suffix, qualifier=qualifier, reserve=_ACCOUNT_ID_LENGTH + 1)
    return f"{name}-{cdk.Aws.ACCOUNT_ID}"


class PrivateBucket(Construct):
    """A versioned bucket that is encrypted with one key, takes TLS 1.2 or newer only, and is gone with its stack.

    Its policy refuses an object that is not explicitly encrypted with the key: leaving the choice out would mean the
    account's own S3 key for whoever asks for KMS without naming one.

    Args:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        qualifier: Purpose, in the bucket's name.
        key: Encrypts the objects.
        lifecycle_rules: What becomes of objects over time; unfinished uploads go in any case.
        replicators: ARNs of the roles with which S3 copies objects into this bucket: they name no encryption, the
            rules of their replication do.
        closed: Whether nobody but the replicators may put an object here.
        log_retention_days: Retention of the log of the function that empties both buckets.

    Attributes:
        bucket: The bucket.
        access_logs: The bucket with its access logs. S3 delivers to nothing but SSE-S3 (S3 user guide, "Enabling Amazon
            S3 server access logging"), which the encryption aspect accepts.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        environment: str,
        suffix: str,
        qualifier: str,
        key: kms.IKey,
        lifecycle_rules: Sequence[s3.LifecycleRule],
        log_retention_days: int,
        replicators: Sequence[str] = (),
        closed: bool = False,
    ) -> None:
        super().__init__(scope, construct_id)
        self.access_logs = AccessLogBucket(
            self, "AccessLogs", name=bucket_name(environment, suffix, qualifier=f"{qualifier}-access")
        )
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            bucket_name=bucket_name(environment, suffix, qualifier=qualifier),
            versioned=True,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=key,
            bucket_key_enabled=True,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            removal_policy=cdk.RemovalPolicy.DESTROY,
            server_access_logs_bucket=self.access_logs,
            server_access_logs_prefix=f"{qualifier}/",
            lifecycle_rules=[*lifecycle_rules, unfinished_uploads()],
        )
        for statement in _refusals(self.bucket, key, replicators, closed=closed):
            self.bucket.add_to_resource_policy(statement)
        emptying = BucketEmptying(
            self,
            "Emptying",
            environment=environment,
            suffix=suffix,
            qualifier=f"empty-{qualifier}",
            key=key,
            log_retention_days=log_retention_days,
        )
        emptied = emptying.empty("Emptied", self.bucket)
        # Else the bucket would stand open again, its policy deleted, until its access logs are gone, whose policy names
        # it: for up to a quarter of an hour.
        emptying.empty("EmptiedAccessLogs", self.access_logs).node.add_dependency(emptied)


def _refusals(
    bucket: s3.Bucket, key: kms.IKey, replicators: Sequence[str], *, closed: bool
) -> list[iam.PolicyStatement]:
    """What the bucket's policy forbids to everybody, administrators included, but the replicators."""
    others = {"ArnNotEquals": {"aws:PrincipalArn": list(replicators)}} if replicators else {}

    def refuse(sid: str, conditions: dict[str, object]) -> iam.PolicyStatement:
        return iam.PolicyStatement(
            sid=sid,
            effect=iam.Effect.DENY,
            principals=[iam.AnyPrincipal()],
            actions=["s3:PutObject"],
            resources=[bucket.arn_for_objects("*")],
            conditions={**others, **conditions},
        )

    if closed:
        return [refuse("OnlyReplicas", {})]
    algorithm = "s3:x-amz-server-side-encryption"
    return [
        refuse("OnlyEncryptedByKms", {"StringNotEquals": {algorithm: "aws:kms"}}),
        refuse("OnlyWithTheKey", {"StringNotEquals": {f"{algorithm}-aws-kms-key-id": key.key_arn}}),
    ]
