"""The data tier as a stack."""

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2

from pm_core import DataContract, Environment, NetworkContract, Settings
from pm_data import (
    DATABASE_NAME,
    DatabaseRoles,
    DatabaseRolesProps,
    DataKey,
    PaymentDatabase,
    PaymentDatabaseProps,
    TransactionLogs,
    TransactionLogsProps,
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
        key = DataKey(self, "Key", environment=environment, suffix=suffix)
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
                require_tls=settings.database_ssl_mode != "disable",
                log_retention_days=settings.log_retention_days,
            ),
        )
        DatabaseRoles(
            self,
            "Roles",
            props=DatabaseRolesProps(
                environment=environment,
                suffix=suffix,
                key=key,
                vpc=vpc,
                subnet_ids=network.private_subnet_ids,
                database_security_group_id=network.database_security_group_id,
                master_secret=database.master_secret,
                secrets=database.secrets,
                ssl_mode=settings.database_ssl_mode,
                log_retention_days=settings.log_retention_days,
            ),
        )
        logs = TransactionLogs(
            self,
            "TransactionLogs",
            props=TransactionLogsProps(
                environment=environment, suffix=suffix, key=key, log_retention_days=settings.log_retention_days
            ),
        )
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
                master_secret_arn=database.master_secret.secret_arn,
                app_secret_arn=database.secrets["pm_app"].secret_arn,
                dms_secret_arn=database.secrets["pm_dms"].secret_arn,
                cutover_secret_arn=database.secrets["pm_cutover"].secret_arn,
            )
        )
