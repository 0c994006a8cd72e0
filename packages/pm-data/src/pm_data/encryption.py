"""The one key of an environment's data, and what encrypts with it."""

from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from pm_core import resource_name


class DataKey(kms.Key):
    """Encrypts an environment's database, secrets, transaction logs and the log groups around them.

    Rotated every year, destroyed with its stack after the shortest window that KMS allows.
    """

    def __init__(self, scope: Construct, construct_id: str, *, environment: str, suffix: str) -> None:
        super().__init__(
            scope,
            construct_id,
            alias=f"alias/{resource_name('alias', environment, suffix, qualifier='data')}",
            description=f"Payment data of the {environment} environment",
            enable_key_rotation=True,
            pending_window=cdk.Duration.days(7),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )


def encrypted_log_group(
    scope: Construct, construct_id: str, *, name: str, key: kms.IKey, retention_days: int
) -> logs.LogGroup:
    """A log group that is encrypted with ``key`` and goes with its stack.

    Declared before the service that writes to it: a group that a service makes by itself is neither encrypted with a
    key of ours nor deleted with the stack.
    """
    stack = cdk.Stack.of(scope)
    arn = stack.format_arn(
        service="logs", resource="log-group", resource_name=name, arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME
    )
    key.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal(f"logs.{stack.region}.amazonaws.com")],
            actions=["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
            resources=["*"],
            conditions={"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": arn}},
        )
    )
    group = logs.LogGroup(
        scope, construct_id, log_group_name=name, encryption_key=key, removal_policy=cdk.RemovalPolicy.DESTROY
    )
    cast(logs.CfnLogGroup, group.node.default_child).retention_in_days = retention_days
    return group
