"""PaymentDatabase: one environment's RDS PostgreSQL instance, its parameters, its secrets and its log groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version as package_version

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from pm_core import resource_name
from pm_core.cdk import acknowledge, encrypted_log_group
from pm_data.functions.grants import CLONES, LOGIN_ROLES
from pm_data.secrets import DatabaseSecret

DATABASE_NAME = "payments"
MASTER_USERNAME = "pmmaster"
PORT = 5432

_LOG_EXPORTS = ("postgresql", "upgrade")
# A stopped replication task makes its slot keep WAL: at most this part of the storage, then the slot is given up
# rather than the payments.
_SLOT_WAL_SHARE = 0.25
_MIB_PER_GIB = 1024
_MONITORING_SECONDS = 60
_MONITORING_POLICY = "service-role/AmazonRDSEnhancedMonitoringRole"


class DatabasePropsError(ValueError):
    """Props that AWS would refuse at deployment; the message says what is allowed."""


def engine_version(version: str) -> rds.PostgresEngineVersion:
    """The engine version by its number, for example ``17.9``.

    Raises:
        DatabasePropsError: The installed CDK knows of no such version on RDS.
    """
    known = {
        name.removeprefix("VER_").replace("_", "."): name
        for name in dir(rds.PostgresEngineVersion)
        if name.startswith("VER_")
    }
    if version not in known:
        major = version.partition(".")[0]
        same_major = [one for one in known if one.startswith(f"{major}.")]
        allowed = sorted(same_major or known, key=lambda one: [int(part) for part in one.split(".") if part.isdigit()])
        raise DatabasePropsError(
            f"databaseEngineVersion {version} is unknown to aws-cdk-lib {package_version('aws-cdk-lib')}: "
            f"use one of {', '.join(allowed)}"
        )
    found: rds.PostgresEngineVersion = getattr(rds.PostgresEngineVersion, known[version])
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentDatabaseProps:
    """What a database needs to know; checked before any construct exists.

    Attributes:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        key: Encrypts storage, secrets and logs.
        vpc: The network.
        subnet_ids: Isolated subnets, at least two in different zones.
        security_group: Who may connect.
        engine_version: PostgreSQL version such as ``17.9``.
        instance_class: RDS class without ``db.``, such as ``r5.large``.
        storage_gib: Allocated gp3 storage, 20 to 65536.
        multi_az: Whether a standby runs in a second zone.
        backup_days: Retention of automated backups and reach of point-in-time recovery, 1 to 35.
        max_connections: How many sessions the server takes, 100 to 5000.
        require_tls: Whether the server refuses connections in clear text.
        log_retention_days: Retention of the exported logs.

    Raises:
        DatabasePropsError: A value is outside RDS's limits.

    Source: AWS::RDS::DBInstance.
    """

    environment: str
    suffix: str
    key: kms.IKey
    vpc: ec2.IVpc
    subnet_ids: Sequence[str]
    security_group: ec2.ISecurityGroup
    engine_version: str
    instance_class: str = "r5.large"
    storage_gib: int = 100
    multi_az: bool = True
    backup_days: int = 14
    max_connections: int = 1000
    require_tls: bool = True
    log_retention_days: int = 30

    def __post_init__(self) -> None:
        engine_version(self.engine_version)
        if len(self.subnet_ids) < 2:
            raise DatabasePropsError(f"a database takes subnets in two zones at least, not {len(self.subnet_ids)}")
        if not 20 <= self.storage_gib <= 65536:
            raise DatabasePropsError(f"databaseStorageGib {self.storage_gib}: gp3 takes 20 to 65536")
        if not 1 <= self.backup_days <= 35:
            raise DatabasePropsError(f"databaseBackupDays {self.backup_days}: point-in-time recovery takes 1 to 35")
        if not 100 <= self.max_connections <= 5000:
            raise DatabasePropsError(f"databaseMaxConnections {self.max_connections}: take 100 to 5000")


def _acknowledge(instance: rds.DatabaseInstance, backup_days: int) -> None:
    acknowledge(
        instance,
        "AwsSolutions-RDS10",
        "NIST.800.53.R5-RDSInstanceDeletionProtectionEnabled",
        reason="Required: every resource can be destroyed without a person. IAM says who may delete the stack; a "
        "manual snapshot, which RDS keeps, is taken by that person before (docs/deploying.md).",
    )
    acknowledge(
        instance,
        "AwsSolutions-RDS11",
        reason="The port is no secret: the instance is in isolated subnets, and its security group admits groups of "
        "ours and no address.",
    )
    acknowledge(
        instance,
        "NIST.800.53.R5-RDSInBackupPlan",
        reason=f"RDS's own automated backups reach back {backup_days} days to any second; a plan of AWS Backup would "
        "keep copies after the stack is destroyed, which is forbidden here.",
    )
    acknowledge(
        instance,
        "PCI.DSS.321-RDSAutomaticMinorVersionUpgradeEnabled",
        reason="The version is pinned: both environments run what was rehearsed, and an upgrade in the middle of a "
        "migration would break replication. Minor versions come by setting databaseEngineVersion.",
    )


class PaymentDatabase(Construct):
    """An encrypted PostgreSQL that can feed logical replication, reachable from inside its network only.

    Everything about it goes with its stack: no final snapshot, no automated backup, no secret stays behind.

    Attributes:
        instance: The database.
        master_secret: The master user's secret, complete once the instance exists.
        secrets: Each login role's secret (pm_app, pm_dms, pm_cutover, pm_status), likewise.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: PaymentDatabaseProps) -> None:
        super().__init__(scope, construct_id)
        self._props = props
        environment, suffix = props.environment, props.suffix
        engine = rds.DatabaseInstanceEngine.postgres(version=engine_version(props.engine_version))
        identifier = resource_name("database", environment, suffix)
        subnet_group = rds.CfnDBSubnetGroup(
            self,
            "Subnets",
            db_subnet_group_name=resource_name("subnet-group", environment, suffix),
            db_subnet_group_description=f"Isolated subnets of the {environment} environment",
            subnet_ids=list(props.subnet_ids),
        )
        log_groups = [
            encrypted_log_group(
                self,
                f"{log.capitalize()}Logs",
                name=f"/aws/rds/instance/{identifier}/{log}",
                key=props.key,
                retention_days=props.log_retention_days,
            )
            for log in _LOG_EXPORTS
        ]
        master = self._secret("Master", MASTER_USERNAME)
        instance = rds.DatabaseInstance(
            self,
            "Instance",
            instance_identifier=identifier,
            engine=engine,
            instance_type=ec2.InstanceType(props.instance_class),
            credentials=rds.Credentials.from_secret(master),
            database_name=DATABASE_NAME,
            port=PORT,
            vpc=props.vpc,
            subnet_group=rds.SubnetGroup.from_subnet_group_name(self, "SubnetGroup", subnet_group.ref),
            security_groups=[props.security_group],
            publicly_accessible=False,
            multi_az=props.multi_az,
            allocated_storage=props.storage_gib,
            storage_type=rds.StorageType.GP3,
            storage_encrypted=True,
            storage_encryption_key=props.key,
            parameter_group=self._parameters(engine),
            ca_certificate=rds.CaCertificate.RDS_CA_RSA2048_G1,
            # The version is pinned by setting: replication and both environments must agree on it.
            auto_minor_version_upgrade=False,
            allow_major_version_upgrade=False,
            backup_retention=cdk.Duration.days(props.backup_days),
            delete_automated_backups=True,
            deletion_protection=False,
            monitoring_interval=cdk.Duration.seconds(_MONITORING_SECONDS),
            monitoring_role=self._monitoring_role(),
            enable_performance_insights=True,
            performance_insight_encryption_key=props.key,
            performance_insight_retention=rds.PerformanceInsightRetention.DEFAULT,
            removal_policy=cdk.RemovalPolicy.DESTROY,
            cloudwatch_logs_exports=list(_LOG_EXPORTS),
        )
        instance.node.add_dependency(*log_groups)
        _acknowledge(instance, props.backup_days)
        if instance.secret is None:
            raise AssertionError("an instance made with a secret has one")
        self.instance: rds.IDatabaseInstance = instance
        self.master_secret: secretsmanager.ISecret = instance.secret
        self.secrets: dict[str, secretsmanager.ISecret] = {
            role: self._secret(
                "".join(part.capitalize() for part in role.split("_")),
                role,
                instance.secret if role in CLONES else None,
            ).attach(instance)
            for role in LOGIN_ROLES
        }

    def _secret(
        self, construct_id: str, username: str, master_secret: secretsmanager.ISecret | None = None
    ) -> DatabaseSecret:
        return DatabaseSecret(
            self,
            f"{construct_id}Secret",
            environment=self._props.environment,
            suffix=self._props.suffix,
            username=username,
            key=self._props.key,
            master_secret=master_secret,
        )

    def _monitoring_role(self) -> iam.Role:
        """What Enhanced Monitoring writes operating system metrics with, to RDS's own log group of the account."""
        role = iam.Role(
            self,
            "MonitoringRole",
            role_name=resource_name("role", self._props.environment, self._props.suffix, qualifier="rds-monitoring"),
            description="RDS Enhanced Monitoring writes its metrics",
            assumed_by=iam.ServicePrincipal("monitoring.rds.amazonaws.com"),
            managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name(_MONITORING_POLICY)],
        )
        acknowledge(
            role,
            f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{_MONITORING_POLICY}]",
            reason="RDS documents exactly this policy for Enhanced Monitoring and maintains it with the service; it "
            "may write to log groups whose names begin with RDS and nothing else.",
        )
        return role

    def _parameters(self, engine: rds.IInstanceEngine) -> rds.ParameterGroup:
        props = self._props
        # Another major version needs another group beside this one, so by another name.
        qualifier = f"postgres{props.engine_version.partition('.')[0]}"
        return rds.ParameterGroup(
            self,
            "Parameters",
            name=resource_name("parameter-group", props.environment, props.suffix, qualifier=qualifier),
            description=f"Logical replication and TLS for the {props.environment} payment database",
            engine=engine,
            parameters={
                # Static: it takes effect because the group is there when the instance is made.
                "rds.logical_replication": "1",
                "rds.force_ssl": "1" if props.require_tls else "0",
                # Known, so that an alarm can ring before the last one is taken; RDS derives its own from the memory.
                "max_connections": str(props.max_connections),
                # Both directions, DMS's own and one to spare for a repeated start.
                "max_replication_slots": "20",
                "max_wal_senders": "20",
                "max_slot_wal_keep_size": str(int(props.storage_gib * _MIB_PER_GIB * _SLOT_WAL_SHARE)),
                "wal_sender_timeout": "60000",
                # A commit that was answered is on disk, whatever a session asks for by default.
                "synchronous_commit": "on",
                "log_connections": "1",
                "log_disconnections": "1",
                # A rotation's ALTER USER would be logged with the password in clear text: by log_statement, when it is
                # slow by log_min_duration_statement, when it fails or waits by the lowest log_min_error_statement.
                # Performance Insights shows what is slow.
                "log_min_error_statement": "panic",
                "log_lock_waits": "1",
            },
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
