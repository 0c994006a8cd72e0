"""Replication of a bucket by S3 itself: the rules, and the two roles behind them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from pm_core import resource_name
from pm_core.cdk import acknowledge_wildcard, object_statement

REPORT_PREFIX = "batch-replication/"
# The only time that S3 promises, and so the only one that it accepts.
_PROMISED = s3.CfnBucket.ReplicationTimeValueProperty(minutes=15)
_ALL_OBJECTS = "S3 copies whatever objects the one named bucket holds, and cannot know their keys beforehand."
_ALL_REPLICAS = "A copy has its original's key, which cannot be known beforehand; the bucket is named."
_ALIASED = "The key lives in another region, where its id is chosen: the condition narrows this to the key's alias."
_REPORTS = "S3 chooses the keys of a job's reports below the named bucket's one prefix."


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """Where copies of a bucket's new objects go. Deletions are never copied.

    Attributes:
        rule: Id of the replication rule; the metrics of S3 carry it.
        bucket: Name of the bucket there, which is versioned already.
        region: Its region.
        key_arn: ARN of the key there, or of an alias of it.
        key_alias: The alias when ``key_arn`` is one: permissions name keys, not aliases.
        timed: Whether S3 shall copy within 15 minutes, and raise an event when it does not (replication time control).
    """

    rule: Literal["audit", "migration"]
    bucket: str
    region: str
    key_arn: str
    key_alias: str | None = None
    timed: bool = False


def replication_role_arn(environment: str, suffix: str) -> str:
    """ARN of the role with which S3 reads an environment's logs, for the policies of stacks that stand before it."""
    return f"arn:aws:iam::{cdk.Aws.ACCOUNT_ID}:role/{_role_name(environment, suffix)}"


def _role_name(environment: str, suffix: str) -> str:
    return resource_name("role", environment, suffix, qualifier="replicate-logs")


class BucketReplication(Construct):
    """The replication rules of one bucket, and the roles with which S3 copies its new and its existing objects.

    Args:
        environment: Whose bucket it is.
        suffix: The deployment's environmentSuffix.
        bucket: The bucket.
        bucket_name: Its name, not as a reference to it: the rules are part of the bucket and wait for the role.
        key: Encrypts it.
        replicas: At least one; the first has the lowest priority.
        reports: Gets the reports of S3 Batch Operations.

    Attributes:
        batch_role: Of a job that copies what the bucket held before it had its rules.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        environment: str,
        suffix: str,
        bucket: s3.Bucket,
        bucket_name: str,
        key: kms.IKey,
        replicas: Sequence[Replica],
        reports: s3.Bucket,
    ) -> None:
        super().__init__(scope, construct_id)
        role = iam.Role(
            self,
            "Role",
            role_name=_role_name(environment, suffix),
            description="S3 copies new transaction logs with this role",
            assumed_by=iam.ServicePrincipal("s3.amazonaws.com"),
        )
        policy = iam.ManagedPolicy(
            self,
            "Policy",
            managed_policy_name=resource_name("policy", environment, suffix, qualifier="replicate-logs"),
            description="Read transaction logs for replication, and write the copies",
            roles=[role],
        )
        named = s3.Bucket.from_bucket_name(self, "Named", bucket_name)
        policy.add_statements(*_reading(policy, named, key))
        for replica in replicas:
            there = s3.Bucket.from_bucket_name(self, f"{replica.rule.capitalize()}Replica", replica.bucket)
            policy.add_statements(*_writing(policy, there, replica))
        resource = bucket.node.default_child
        assert isinstance(resource, s3.CfnBucket), "an L2 bucket is made of one"  # noqa: S101 - narrows the type
        resource.replication_configuration = s3.CfnBucket.ReplicationConfigurationProperty(
            role=role.role_arn, rules=[_rule(replica, number) for number, replica in enumerate(replicas, start=1)]
        )
        resource.node.add_dependency(policy)
        self.batch_role: iam.IRole = self._batch_role(environment, suffix, bucket, reports)

    def _batch_role(self, environment: str, suffix: str, bucket: s3.Bucket, reports: s3.Bucket) -> iam.Role:
        """Source: S3 user guide, "Configuring an IAM role for S3 Batch Replication", with S3 making the manifest."""
        role = iam.Role(
            self,
            "BatchRole",
            role_name=resource_name("role", environment, suffix, qualifier="replicate-old-logs"),
            description="S3 Batch Operations copies existing transaction logs with this role",
            # Without a condition, as documented: of its source S3 is not known to send anything here, and only who may
            # pass the role can have a job use it.
            assumed_by=iam.ServicePrincipal("batchoperations.s3.amazonaws.com"),
        )
        policy = iam.ManagedPolicy(
            self,
            "BatchPolicy",
            managed_policy_name=resource_name("policy", environment, suffix, qualifier="replicate-old-logs"),
            description="Start the replication of existing transaction logs, and report on it",
            roles=[role],
        )
        policy.add_statements(
            iam.PolicyStatement(
                actions=["s3:GetReplicationConfiguration", "s3:PutInventoryConfiguration"],
                resources=[bucket.bucket_arn],
            ),
            object_statement(policy, bucket=bucket, actions=["s3:InitiateReplication"], reason=_ALL_OBJECTS),
            object_statement(policy, bucket=reports, prefix=REPORT_PREFIX, actions=["s3:PutObject"], reason=_REPORTS),
        )
        return role


def _reading(policy: iam.ManagedPolicy, bucket: s3.IBucket, key: kms.IKey) -> list[iam.PolicyStatement]:
    return [
        iam.PolicyStatement(actions=["s3:GetReplicationConfiguration", "s3:ListBucket"], resources=[bucket.bucket_arn]),
        object_statement(
            policy,
            bucket=bucket,
            actions=["s3:GetObjectVersionForReplication", "s3:GetObjectVersionAcl", "s3:GetObjectVersionTagging"],
            reason=_ALL_OBJECTS,
        ),
        iam.PolicyStatement(
            actions=["kms:Decrypt"], resources=[key.key_arn], conditions=_for_bucket(bucket, cdk.Aws.REGION)
        ),
    ]


def _writing(policy: iam.ManagedPolicy, bucket: s3.IBucket, replica: Replica) -> list[iam.PolicyStatement]:
    conditions = _for_bucket(bucket, replica.region)
    keys = replica.key_arn
    if replica.key_alias is not None:
        keys = f"arn:aws:kms:{replica.region}:{cdk.Aws.ACCOUNT_ID}:key/*"
        conditions["ForAnyValue:StringEquals"] = {"kms:ResourceAliases": replica.key_alias}
        acknowledge_wildcard(policy, keys, _ALIASED)
    return [
        object_statement(
            policy, bucket=bucket, actions=["s3:ReplicateObject", "s3:ReplicateTags"], reason=_ALL_REPLICAS
        ),
        iam.PolicyStatement(actions=["kms:Encrypt", "kms:GenerateDataKey"], resources=[keys], conditions=conditions),
    ]


def _for_bucket(bucket: s3.IBucket, region: str) -> dict[str, dict[str, object]]:
    """A key is used by S3 alone, and for this bucket: its ARN is the encryption context of bucket keys."""
    return {
        "StringEquals": {"kms:ViaService": f"s3.{region}.amazonaws.com"},
        "StringLike": {"kms:EncryptionContext:aws:s3:arn": [bucket.bucket_arn, bucket.arn_for_objects("*")]},
    }


def _rule(replica: Replica, priority: int) -> s3.CfnBucket.ReplicationRuleProperty:
    return s3.CfnBucket.ReplicationRuleProperty(
        id=replica.rule,
        status="Enabled",
        priority=priority,
        filter=s3.CfnBucket.ReplicationRuleFilterProperty(prefix=""),
        delete_marker_replication=s3.CfnBucket.DeleteMarkerReplicationProperty(status="Disabled"),
        source_selection_criteria=s3.CfnBucket.SourceSelectionCriteriaProperty(
            sse_kms_encrypted_objects=s3.CfnBucket.SseKmsEncryptedObjectsProperty(status="Enabled")
        ),
        destination=s3.CfnBucket.ReplicationDestinationProperty(
            bucket=f"arn:aws:s3:::{replica.bucket}",
            encryption_configuration=s3.CfnBucket.EncryptionConfigurationProperty(replica_kms_key_id=replica.key_arn),
            metrics=s3.CfnBucket.MetricsProperty(
                status="Enabled", event_threshold=_PROMISED if replica.timed else None
            ),
            replication_time=s3.CfnBucket.ReplicationTimeProperty(status="Enabled", time=_PROMISED)
            if replica.timed
            else None,
        ),
    )
