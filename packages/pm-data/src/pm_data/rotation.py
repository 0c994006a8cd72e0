"""SecretRotation: a new password every 30 days, in the database and then in the secret."""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from pm_core import resource_name
from pm_core.cdk import encrypted_log_group
from pm_data.functions.grants import CLONES

ROTATION_DAYS = 30
# Those who keep connections over a rotation, and whose roles have a clone; the others change their own password.
ALTERNATING_USERS = frozenset(CLONES)
_TRANSFORM = "AWS::SecretsManager-2024-09-16"
# What means something in DMS's connection strings. Not all punctuation: AWS's function asks for a password with some of
# each kind of characters, which Secrets Manager refuses when all of one kind are excluded.
_EXCLUDED_CHARACTERS = "".join(character for character in string.punctuation if character not in "-_")


def rotation_function_name(environment: str, suffix: str, *, username: str) -> str:
    """Name of the function that rotates a user's secret, for whoever watches it."""
    return resource_name("function", environment, suffix, qualifier=f"rotate-{username.replace('_', '-')}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRotationProps:
    """What the rotation of one secret needs to know.

    Attributes:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        username: Whose secret it is.
        secret: The secret, attached to the instance.
        master_secret: The master user's secret, with which the rotation makes and alters the other one of two users;
            None lets the user change its own password.
        key: Encrypts the secrets and the function's log.
        subnet_ids: Subnets from which the function reaches the database and Secrets Manager.
        security_group_id: What the function may talk to.
        log_retention_days: Retention of the function's log.
    """

    environment: str
    suffix: str
    username: str
    secret: secretsmanager.ISecret
    master_secret: secretsmanager.ISecret | None
    key: kms.IKey
    subnet_ids: Sequence[str]
    security_group_id: str
    log_retention_days: int


class SecretRotation(Construct):
    """AWS's own rotation function for PostgreSQL, in our network and with a log group that goes with the stack.

    With a master secret two users alternate, ``<user>`` and ``<user>_clone``: a client that has not read the secret
    again keeps working with the other one until the next rotation, so that a rotation fails no request.

    Source: AWS::SecretsManager::RotationSchedule HostedRotationLambda; Secrets Manager user guide, "Rotation strategy".
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: SecretRotationProps) -> None:
        super().__init__(scope, construct_id)
        name = rotation_function_name(props.environment, props.suffix, username=props.username)
        logs = encrypted_log_group(
            self, "Logs", name=f"/aws/lambda/{name}", key=props.key, retention_days=props.log_retention_days
        )
        kind: Literal["PostgreSQLMultiUser", "PostgreSQLSingleUser"] = (
            "PostgreSQLMultiUser" if props.master_secret else "PostgreSQLSingleUser"
        )
        master = props.master_secret
        cdk.Stack.of(self).add_transform(_TRANSFORM)
        schedule = secretsmanager.CfnRotationSchedule(
            self,
            "Schedule",
            secret_id=props.secret.secret_arn,
            hosted_rotation_lambda=secretsmanager.CfnRotationSchedule.HostedRotationLambdaProperty(
                rotation_type=kind,
                rotation_lambda_name=name,
                kms_key_arn=props.key.key_arn,
                master_secret_arn=master.secret_arn if master else None,
                master_secret_kms_key_arn=props.key.key_arn if master else None,
                exclude_characters=_EXCLUDED_CHARACTERS,
                vpc_security_group_ids=props.security_group_id,
                vpc_subnet_ids=cdk.Fn.join(",", list(props.subnet_ids)),
            ),
            rotation_rules=secretsmanager.CfnRotationSchedule.RotationRulesProperty(
                automatically_after_days=ROTATION_DAYS
            ),
            rotate_immediately_on_update=True,
        )
        schedule.node.add_dependency(logs)
