"""DatabaseRoles: the roles of the payment database, made in the database itself."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from pm_core.cdk import PG8000, Placement, ResourceFunction
from pm_data.functions import FUNCTIONS

_TIMEOUT_SECONDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseRolesProps:
    """What the roles need to know.

    Attributes:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        key: Encrypts the secrets and the function's log.
        subnet_ids: Private subnets, from which the function reaches the database and the AWS APIs.
        security_group: Of the functions that work in the database.
        master_secret: Of the master user, attached to the instance.
        secrets: Of each login role, attached to the instance.
        ssl_mode: disable, require, verify-ca or verify-full.
        log_retention_days: Retention of the function's log.
    """

    environment: str
    suffix: str
    key: kms.IKey
    subnet_ids: Sequence[str]
    security_group: ec2.ISecurityGroup
    master_secret: secretsmanager.ISecret
    secrets: Mapping[str, secretsmanager.ISecret]
    ssl_mode: str
    log_retention_days: int = 30


class DatabaseRoles(Construct):
    """The roles that docs/architecture.md lists, with the passwords of their secrets; see functions/grants.py.

    Runs again, and then alters, when a secret is replaced or the grants of this package change.

    Attributes:
        resource: Depend on it to find the roles in place.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: DatabaseRolesProps) -> None:
        super().__init__(scope, construct_id)
        provider = ResourceFunction(
            self,
            "Provider",
            environment=props.environment,
            suffix=props.suffix,
            qualifier="database-roles",
            code=FUNCTIONS,
            module="database_roles",
            vendored=PG8000,
            description="Makes the roles of the payment database",
            key=props.key,
            log_retention_days=props.log_retention_days,
            timeout_seconds=_TIMEOUT_SECONDS,
            placement=Placement(subnet_ids=props.subnet_ids, security_group=props.security_group),
        )
        provider.allow(
            iam.PolicyStatement(
                sid="ReadSecrets",
                actions=["secretsmanager:GetSecretValue"],
                resources=[secret.secret_arn for secret in (props.master_secret, *props.secrets.values())],
            ),
            iam.PolicyStatement(sid="DecryptSecrets", actions=["kms:Decrypt"], resources=[props.key.key_arn]),
        )
        self.resource = provider.resource(
            self,
            "Resource",
            kind="Custom::DatabaseRoles",
            properties={
                "MasterSecretArn": props.master_secret.secret_arn,
                "RoleSecretArns": {role: secret.secret_arn for role, secret in props.secrets.items()},
                "SslMode": props.ssl_mode,
                "Definition": hashlib.sha256((FUNCTIONS / "grants.py").read_bytes()).hexdigest()[:16],
            },
        )
