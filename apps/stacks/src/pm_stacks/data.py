"""The data tier as a stack."""

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2

from pm_core import DataContract, Environment, NetworkContract, Settings
from pm_core.cdk import CustomerKey
from pm_data import (
    ALTERNATING_USERS,
    DATABASE_NAME,
    MASTER_USERNAME,
    DatabaseRoles,
    DatabaseRolesProps,
    PaymentDatabase,
    PaymentDatabaseProps,
    Replica,
    SecretRotation,
    SecretRotationProps,
    TransactionLogs,
    TransactionLogsProps,
    audit_replica,
    replica_bucket_name,
    replication_role_arn,
)
from pm_stacks.base import TierStack


class DataStack(TierStack):
    """Database with its roles and secrets, and the transaction log bucket, of one environment."""

    def __init__(self, *, app: cdk.App, environment: Environment, settings: Settings) -> None:
        super().__init__(app=app, tier="data", environment=environment, settings=settings)
        suffix = settings.environment_suffix
        network = self.read(NetworkContract)
        vpc = ec2.Vpc.from_vpc_attributes(
            self, "Vpc", vpc_id=network.vpc_id, availability_zones=list(settings.availability_zones)
        )
        key = CustomerKey(
            self,
            "Key",
            environment=environment,
            suffix=suffix,
            qualifier="data",
            description=f"Payment data of the {environment} environment",
        )
        database = PaymentDatabase(
            self,
            "Database",
            props=PaymentDatabaseProps(
                environment=environment,
                suffix=suffix,
                key=key,
                vpc=vpc,
                subnet_ids=network.isolated_subnet_ids,
                security_group=ec2.SecurityGroup.from_security_group_id(
                    self, "DatabaseGroup", network.database_security_group_id, mutable=False
                ),
                engine_version=settings.database_engine_version,
                instance_class=settings.database_instance_class,
                storage_gib=settings.database_storage_gib,
                multi_az=settings.environment(environment).multi_az,
                backup_days=settings.database_backup_days,
                max_connections=settings.database_max_connections,
                require_tls=settings.database_ssl_mode != "disable",
                log_retention_days=settings.log_retention_days,
            ),
        )
        functions = ec2.SecurityGroup.from_security_group_id(
            self, "FunctionsGroup", network.function_security_group_id, mutable=False
        )
        roles = DatabaseRoles(
            self,
            "Roles",
            props=DatabaseRolesProps(
                environment=environment,
                suffix=suffix,
                key=key,
                subnet_ids=network.private_subnet_ids,
                security_group=functions,
                master_secret=database.master_secret,
                secrets=database.secrets,
                ssl_mode=settings.database_ssl_mode,
                log_retention_days=settings.log_retention_days,
            ),
        )
        for username, secret in {MASTER_USERNAME: database.master_secret, **database.secrets}.items():
            rotation = SecretRotation(
                self,
                f"{''.join(part.capitalize() for part in username.split('_'))}Rotation",
                props=SecretRotationProps(
                    environment=environment,
                    suffix=suffix,
                    username=username,
                    secret=secret,
                    master_secret=database.master_secret if username in ALTERNATING_USERS else None,
                    key=key,
                    subnet_ids=network.private_subnet_ids,
                    security_group_id=network.function_security_group_id,
                    log_retention_days=settings.log_retention_days,
                ),
            )
            # The first rotation runs at once, and needs the roles.
            rotation.node.add_dependency(roles)
        logs = TransactionLogs(
            self,
            "TransactionLogs",
            props=TransactionLogsProps(
                environment=environment,
                suffix=suffix,
                key=key,
                replicas=self._replicas(),
                # Always, so that the target is not updated when the source's migration rule begins.
                replicators=[replication_role_arn("source", suffix)] if environment == "target" else (),
                log_retention_days=settings.log_retention_days,
            ),
        )
        for name, command in logs.commands.items():
            cdk.CfnOutput(self, name, value=command.line, description=command.description)
        self.publish(
            DataContract(
                instance_id=database.instance.instance_identifier,
                endpoint=database.instance.db_instance_endpoint_address,
                # GetAtt, not the port asked for: consumers wait for the instance.
                port=database.instance.db_instance_endpoint_port,
                database_name=DATABASE_NAME,
                ssl_mode=settings.database_ssl_mode,
                key_arn=key.key_arn,
                log_bucket=logs.bucket.bucket_name,
                replica_bucket=replica_bucket_name(environment, suffix),
                replica_region=settings.replica_region,
                master_secret_arn=database.master_secret.secret_arn,
                app_secret_arn=database.secrets["pm_app"].secret_arn,
                dms_secret_arn=database.secrets["pm_dms"].secret_arn,
                cutover_secret_arn=database.secrets["pm_cutover"].secret_arn,
                status_secret_arn=database.secrets["pm_status"].secret_arn,
            )
        )

    def _replicas(self) -> list[Replica]:
        """The audit replica; and the target's log bucket, while the source's logs are to follow its payments."""
        settings = self.settings
        replicas = [audit_replica(self.environment_name, settings.environment_suffix, region=settings.replica_region)]
        if self.environment_name == "source" and settings.migration_phase != "prepare":
            target = self.read(DataContract, environment="target")
            replicas.append(
                Replica(rule="migration", bucket=target.log_bucket, region=settings.region, key_arn=target.key_arn)
            )
        return replicas
