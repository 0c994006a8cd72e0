"""One side of the replication: a database, read and written through DMS endpoints that know only its secret."""

from dataclasses import dataclass
from typing import Literal

import aws_cdk as cdk
from aws_cdk import aws_dms as dms
from aws_cdk import aws_iam as iam
from constructs import Construct

DmsSslMode = Literal["none", "require", "verify-ca", "verify-full"]

# Apply sessions must neither fire triggers nor check foreign keys: rows arrive table by table, and the write fence,
# a trigger too, must let replication pass.
_APPLY_AS_REPLICA = "SET session_replication_role = replica"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicatedDatabase:
    """A PostgreSQL database that DMS reads from and writes to.

    Attributes:
        secret_arn: Secret of the user ``pm_dms`` with host, port, username and password.
        key_arn: KMS key that encrypts the secret.
        database_name: The database.
    """

    secret_arn: str
    key_arn: str
    database_name: str


class SecretAccess(Construct):
    """The role by which DMS reads one secret: exactly that secret, decrypted with exactly its key.

    Source: AWS DMS user guide, "Using secrets to access AWS DMS endpoints"; the trusted principal is regional.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, role_name: str, policy_name: str, database: ReplicatedDatabase
    ) -> None:
        super().__init__(scope, construct_id)
        region = cdk.Stack.of(self).region
        self.role = iam.Role(
            self,
            "Role",
            role_name=role_name,
            description="DMS reads one database secret",
            assumed_by=iam.ServicePrincipal(f"dms.{region}.amazonaws.com"),
        )
        self.policy = iam.ManagedPolicy(
            self,
            "Policy",
            managed_policy_name=policy_name,
            description="DMS reads one database secret",
            roles=[self.role],
            statements=[
                iam.PolicyStatement(
                    sid="ReadSecret",
                    actions=["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"],
                    resources=[database.secret_arn],
                ),
                iam.PolicyStatement(
                    sid="DecryptSecret",
                    actions=["kms:Decrypt", "kms:DescribeKey"],
                    resources=[database.key_arn],
                ),
            ],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOptions:
    """What the endpoints of both sides share.

    Attributes:
        ssl_mode: As DMS calls it.
        certificate_arn: DMS certificate that holds the database's CA; needed by the verifying modes.
        key_arn: KMS key for DMS's own copy of the connection parameters.
        slot_plugin: Output plugin of the replication slots.
        artifacts_schema: Where DMS keeps what its heartbeat needs in the database that it reads.
    """

    ssl_mode: DmsSslMode
    certificate_arn: str | None
    key_arn: str
    slot_plugin: str
    artifacts_schema: str


def reader_endpoint(
    scope: Construct,
    construct_id: str,
    *,
    identifier: str,
    database: ReplicatedDatabase,
    access: SecretAccess,
    slot: str | None,
    options: EndpointOptions,
) -> dms.CfnEndpoint:
    """The endpoint that reads ``database`` through the replication slot ``slot``; None lets DMS make one of its own.

    With a slot DMS insists on a CdcStartPosition, which a task with a full load does not take.

    Source: AWS::DMS::Endpoint PostgreSqlSettings.
    """
    settings = dms.CfnEndpoint.PostgreSqlSettingsProperty(
        secrets_manager_secret_id=database.secret_arn,
        secrets_manager_access_role_arn=access.role.role_arn,
        slot_name=slot,
        # DMS decodes test_decoding and pglogical only; the engine makes its slots with the same plugin. DMS spells it
        # with a hyphen (PluginNameValue of its API), PostgreSQL with an underscore.
        plugin_name="test-decoding" if options.slot_plugin == "test_decoding" else None,
        # It would take an event trigger, which needs more rights than pm_dms has; `pm preflight` compares the schemas.
        capture_ddls=False,
        # An idle source would keep its write-ahead log for ever.
        heartbeat_enable=True,
        heartbeat_frequency=1,
        heartbeat_schema=options.artifacts_schema,
        # Booleans would otherwise travel as varchar(5).
        map_boolean_as_boolean=True,
        fail_tasks_on_lob_truncation=True,
    )
    return _endpoint(scope, construct_id, "source", identifier, database, access, settings, options)


def writer_endpoint(
    scope: Construct,
    construct_id: str,
    *,
    identifier: str,
    database: ReplicatedDatabase,
    access: SecretAccess,
    options: EndpointOptions,
) -> dms.CfnEndpoint:
    """The endpoint that applies changes to ``database``.

    Source: AWS::DMS::Endpoint PostgreSqlSettings.
    """
    settings = dms.CfnEndpoint.PostgreSqlSettingsProperty(
        secrets_manager_secret_id=database.secret_arn,
        secrets_manager_access_role_arn=access.role.role_arn,
        after_connect_script=_APPLY_AS_REPLICA,
        map_boolean_as_boolean=True,
    )
    return _endpoint(scope, construct_id, "target", identifier, database, access, settings, options)


def _endpoint(
    scope: Construct,
    construct_id: str,
    endpoint_type: str,
    identifier: str,
    database: ReplicatedDatabase,
    access: SecretAccess,
    settings: dms.CfnEndpoint.PostgreSqlSettingsProperty,
    options: EndpointOptions,
) -> dms.CfnEndpoint:
    endpoint = dms.CfnEndpoint(
        scope,
        construct_id,
        endpoint_identifier=identifier,
        endpoint_type=endpoint_type,
        engine_name="postgres",
        database_name=database.database_name,
        ssl_mode=options.ssl_mode,
        certificate_arn=options.certificate_arn,
        kms_key_id=options.key_arn,
        postgre_sql_settings=settings,
    )
    # DMS reads the secret when the endpoint is made.
    endpoint.node.add_dependency(access.policy)
    return endpoint
