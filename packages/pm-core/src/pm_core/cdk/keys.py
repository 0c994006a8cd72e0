"""Customer keys: whoever holds data makes one."""

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from constructs import Construct

from pm_core.names import resource_name


class CustomerKey(kms.Key):
    """A key of ours: rotated every year, destroyed with its stack after the shortest window that KMS allows.

    Args:
        scope: The parent.
        construct_id: The id.
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        qualifier: Tells the environment's keys apart; in the alias ``alias/alias-<qualifier>-<environment>-<suffix>``.
        description: What it encrypts.

    Source: AWS::KMS::Key.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, environment: str, suffix: str, qualifier: str, description: str
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            alias=f"alias/{resource_name('alias', environment, suffix, qualifier=qualifier)}",
            description=description,
            enable_key_rotation=True,
            pending_window=cdk.Duration.days(7),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
