"""Log groups: declared before the service that writes to them."""

from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct


def encrypted_log_group(
    scope: Construct, construct_id: str, *, name: str, key: kms.IKey, retention_days: int
) -> logs.LogGroup:
    """A log group that is encrypted with ``key`` and goes with its stack.

    Declared, because a group that a service makes by itself is neither encrypted with a key of ours nor deleted with
    the stack. CloudWatch Logs may use the key for exactly this group.

    Source: Amazon CloudWatch Logs user guide, "Encrypt log data using AWS KMS".
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
