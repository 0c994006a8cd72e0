"""The key of the replication tier."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct


def replication_key(scope: Construct, construct_id: str, *, alias: str, log_groups: Sequence[str]) -> kms.Key:
    """A customer key that encrypts the replication instance, its endpoints' connection data and the given log groups.

    CloudWatch Logs may use it for those log groups only.

    Source: Amazon CloudWatch Logs user guide, "Encrypt log data using AWS KMS".
    """
    stack = cdk.Stack.of(scope)
    key = kms.Key(
        scope,
        construct_id,
        alias=alias,
        description="Replication instance, endpoints and logs of the payment migration",
        enable_key_rotation=True,
        pending_window=cdk.Duration.days(7),
        removal_policy=cdk.RemovalPolicy.DESTROY,
    )
    key.add_to_resource_policy(
        iam.PolicyStatement(
            sid="Logs",
            principals=[iam.ServicePrincipal(f"logs.{stack.region}.amazonaws.com")],
            actions=["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
            resources=["*"],
            conditions={
                "ArnEquals": {
                    "kms:EncryptionContext:aws:logs:arn": [
                        stack.format_arn(
                            service="logs",
                            resource="log-group",
                            resource_name=name,
                            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
                        )
                        for name in log_groups
                    ]
                }
            },
        )
    )
    return key
