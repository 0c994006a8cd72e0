"""The replication between both databases as a stack."""

from typing import get_args

import aws_cdk as cdk

from pm_core import DataContract, Environment, NetworkContract, ReplicationContract, Settings
from pm_replication import (
    DatabaseReplication,
    DatabaseReplicationProps,
    DmsSslMode,
    EnvironmentLink,
    EnvironmentLinkProps,
    LinkedNetwork,
    ReplicatedDatabase,
)
from pm_stacks.base import TierStack


class ReplicationStack(TierStack):
    """DMS from source to target and back; lives in the target environment, reads the data tiers of both."""

    def __init__(self, *, app: cdk.App, settings: Settings) -> None:
        super().__init__(app=app, tier="replication", environment="target", settings=settings)
        networks = {name: self.read(NetworkContract, environment=name) for name in get_args(Environment)}
        network = networks["target"]
        link = EnvironmentLink(
            self,
            "Link",
            props=EnvironmentLinkProps(
                environment=self.environment_name,
                suffix=settings.environment_suffix,
                source=_end("source", networks["source"], settings),
                target=_end("target", networks["target"], settings),
            ),
        )
        source = self.read(DataContract, environment="source")
        target = self.read(DataContract, environment="target")
        replication = DatabaseReplication(
            self,
            "Replication",
            props=DatabaseReplicationProps(
                environment=self.environment_name,
                suffix=settings.environment_suffix,
                subnet_ids=network.private_subnet_ids,
                security_group_id=network.replication_security_group_id,
                source=_database(source),
                target=_database(target),
                tables=settings.tables,
                instance_class=settings.replication_instance_class,
                storage_gib=settings.replication_storage_gib,
                engine_version=settings.replication_engine_version,
                multi_az=settings.replication_multi_az,
                ssl_mode=_ssl_mode(settings),
                certificate_arn=settings.replication_certificate_arn,
                slot_plugin=settings.slot_plugin,
                validation=settings.replication_validation,
                service_roles=settings.replication_roles,
                log_retention_days=settings.log_retention_days,
            ),
        )
        self.publish(
            ReplicationContract(
                instance_arn=replication.instance.ref,
                source_loader_endpoint_arn=replication.source_loader.ref,
                source_reader_endpoint_arn=replication.source_reader.ref,
                source_writer_endpoint_arn=replication.source_writer.ref,
                target_reader_endpoint_arn=replication.target_reader.ref,
                target_writer_endpoint_arn=replication.target_writer.ref,
                load_task_arn=replication.load_task.ref,
                forward_task_arn=replication.forward_task.ref,
                reverse_task_arn=replication.reverse_task.ref,
                slot_plugin=settings.slot_plugin,
                peering_connection_id=link.peering.ref,
            )
        )
        tasks = {
            "Load": replication.load_task.ref,
            "Forward": replication.forward_task.ref,
            "Reverse": replication.reverse_task.ref,
        }
        for name, arn in tasks.items():
            cdk.CfnOutput(self, f"{name}TaskArn", value=arn, description=f"The {name.lower()} replication task.")
        cdk.CfnOutput(
            self,
            "StatusCommand",
            value=f"aws dms describe-replication-tasks --region {settings.region} --without-settings"
            f" --filters Name=replication-task-arn,Values={','.join(tasks.values())}",
            description="Status and progress of all tasks; `pm status` adds lag, writer and weights.",
        )
        cdk.CfnOutput(
            self,
            "ReplicateCommand",
            value="pm preflight && pm replicate",
            description="Checks, then starts the load; CloudFormation leaves tasks stopped.",
        )
        cdk.CfnOutput(
            self,
            "RollbackProcedure",
            value="pm rollback && pm status",
            description="From any phase: moves the writer back to the source and all weights with it. Do not start or "
            "stop tasks by hand in between; run it again when it was interrupted.",
        )


def _ssl_mode(settings: Settings) -> DmsSslMode:
    """As the other clients; DMS verifies a server only against a certificate that was imported into DMS first."""
    if settings.database_ssl_mode == "disable":
        return "none"
    return settings.database_ssl_mode if settings.replication_certificate_arn else "require"


def _end(name: Environment, network: NetworkContract, settings: Settings) -> LinkedNetwork:
    clients = {
        "Service": network.service_security_group_id,
    }
    if name == "target":  # where the replication instance, the tasks that run `pm` and the status endpoint are
        clients["Replication"] = network.replication_security_group_id
        clients["Operator"] = network.operator_security_group_id
        clients["Functions"] = network.function_security_group_id
    return LinkedNetwork(
        name=name,
        vpc_id=network.vpc_id,
        cidr=settings.environment(name).cidr,
        route_table_ids=(*network.private_route_table_ids, *network.isolated_route_table_ids),
        database_security_group_id=network.database_security_group_id,
        client_security_group_ids=clients,
    )


def _database(contract: DataContract) -> ReplicatedDatabase:
    return ReplicatedDatabase(
        secret_arn=contract.dms_secret_arn, key_arn=contract.key_arn, database_name=contract.database_name
    )
