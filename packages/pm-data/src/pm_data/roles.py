"""DatabaseRoles: the roles of the payment database, made in the database itself."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from pm_core import resource_name
from pm_data.database import PORT
from pm_data.packaging import FUNCTIONS
from pm_data.provider import Placement, ResourceFunction

_TIMEOUT_SECONDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseRolesProps:
    """What the roles need to know.

    Attributes:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        key: Encrypts the secrets and the function's log.
        vpc: The database's network.
        subnet_ids: Private subnets, from which the function reaches the database and the AWS APIs.
        database_security_group_id: The database's group, which is opened to the function and to nothing else here.
        master_secret: Of the master user, attached to the instance.
        secrets: Of each login role, attached to the instance.
        ssl_mode: disable, require, verify-ca or verify-full.
        log_retention_days: Retention of the function's log.
    """

    environment: str
    suffix: str
    key: kms.IKey
    vpc: ec2.IVpc
    subnet_ids: Sequence[str]
    database_security_group_id: str
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
        group = ec2.SecurityGroup(
            self,
            "Group",
            vpc=props.vpc,
            security_group_name=resource_name(
                "security-group", props.environment, props.suffix, qualifier="database-roles"
            ),
            description="Function that makes the database roles",
            allow_all_outbound=False,
        )
        database = ec2.Peer.security_group_id(props.database_security_group_id)
        group.add_egress_rule(database, ec2.Port.tcp(PORT), "Database")
        group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "AWS APIs")
        ingress = ec2.CfnSecurityGroupIngress(
            self,
            "DatabaseIngress",
            group_id=props.database_security_group_id,
            source_security_group_id=group.security_group_id,
            ip_protocol="tcp",
            from_port=PORT,
            to_port=PORT,
            description="Function that makes the database roles",
        )
        provider = ResourceFunction(
            self,
            "Provider",
            environment=props.environment,
            suffix=props.suffix,
            qualifier="database-roles",
            module="database_roles",
            description="Makes the roles of the payment database",
            key=props.key,
            log_retention_days=props.log_retention_days,
            timeout_seconds=_TIMEOUT_SECONDS,
            placement=Placement(subnet_ids=props.subnet_ids, security_group=group),
        )
        for secret in (props.master_secret, *props.secrets.values()):
            secret.grant_read(provider.role)
        self.resource = cdk.CustomResource(
            self,
            "Resource",
            resource_type="Custom::DatabaseRoles",
            service_token=provider.function.function_arn,
            service_timeout=cdk.Duration.seconds(_TIMEOUT_SECONDS * 2),
            properties={
                "MasterSecretArn": props.master_secret.secret_arn,
                "RoleSecretArns": {role: secret.secret_arn for role, secret in props.secrets.items()},
                "SslMode": props.ssl_mode,
                "Definition": hashlib.sha256((FUNCTIONS / "grants.py").read_bytes()).hexdigest()[:16],
            },
        )
        self.resource.node.add_dependency(provider, ingress)
