"""The credentials of one database: one generated secret per user, each complete enough to connect with."""

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from pm_core import resource_name

_PASSWORD_LENGTH = 32


class DatabaseSecret(secretsmanager.Secret):
    """One user's secret: username and a generated password; engine, host, port and dbname once it is attached.

    With ``master_secret`` it also holds that one's ARN as ``masterarn``, for the rotation of alternating users.
    CloudFormation deletes secrets without a recovery window, so that the stack can be made again at once.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        environment: str,
        suffix: str,
        username: str,
        key: kms.IKey,
        master_secret: secretsmanager.ISecret | None = None,
    ) -> None:
        content = {"username": username}
        if master_secret is not None:
            # Where the rotation of alternating users finds who may make the other one.
            content["masterarn"] = master_secret.secret_arn
        super().__init__(
            scope,
            construct_id,
            secret_name=resource_name("secret", environment, suffix, qualifier=username.replace("_", "-")),
            description=f"{username} of the {environment} payment database",
            encryption_key=key,
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template=cdk.Stack.of(scope).to_json_string(content),
                generate_string_key="password",
                password_length=_PASSWORD_LENGTH,
                # DMS takes neither punctuation that means something in its connection strings nor blanks.
                exclude_punctuation=True,
            ),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
