"""BucketEmptying: what lets a bucket go with its stack, however full it is and whoever still writes to it."""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from pm_core.cdk.functions import ResourceFunction
from pm_core.cdk.handlers import FUNCTIONS
from pm_core.cdk.object_access import object_statement

_TIMEOUT_SECONDS = 900


class BucketEmptying(Construct):
    """Closes and empties buckets when their stack is deleted, and at no other time.

    A bucket that is merely taken out of a template, or whose stack's update fails, keeps its objects.

    Args:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        qualifier: Tells the function's and the role's name apart from other stacks', for example ``empty-logs``.
        key: Encrypts the function's log.
        log_retention_days: Retention of that log.
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
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        self._provider = ResourceFunction(
            self,
            "Provider",
            environment=environment,
            suffix=suffix,
            qualifier=qualifier,
            code=FUNCTIONS,
            module="bucket_emptying",
            description="Empties a bucket before it is deleted with its stack",
            key=key,
            log_retention_days=log_retention_days,
            timeout_seconds=_TIMEOUT_SECONDS,
            asks_for_stack=True,
        )

    def empty(self, construct_id: str, bucket: s3.Bucket) -> cdk.CustomResource:
        """Have ``bucket`` closed and emptied before CloudFormation deletes it and its policy.

        Returns:
            What is deleted then: whatever depends on it goes before the bucket is closed.
        """
        self._provider.allow(
            iam.PolicyStatement(
                actions=["s3:ListBucketVersions", "s3:GetBucketPolicy", "s3:PutBucketPolicy"],
                resources=[bucket.bucket_arn],
            ),
            object_statement(
                self._provider.node.find_child("Policy"),
                bucket=bucket,
                actions=["s3:DeleteObject", "s3:DeleteObjectVersion"],
                reason="Every object that the one named bucket holds has to go before the bucket can be deleted.",
            ),
        )
        emptied = self._provider.resource(
            self, construct_id, kind="Custom::EmptiedBucket", properties={"BucketName": bucket.bucket_name}
        )
        # Deleted before them: while the bucket, its policy and, by the function, the permission still stand.
        if bucket.policy is not None:
            emptied.node.add_dependency(bucket.policy)
        return emptied
