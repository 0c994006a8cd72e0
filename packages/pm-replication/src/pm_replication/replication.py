"""AWS DMS between the source and the target database, forward and reverse."""

import json
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_dms as dms
from constructs import Construct

from pm_core.cdk import CustomerKey, encrypted_log_group
from pm_core.names import ResourceType, resource_name
from pm_replication.database import (
    DmsSslMode,
    EndpointOptions,
    ReplicatedDatabase,
    SecretAccess,
    reader_endpoint,
    writer_endpoint,
)
from pm_replication.mappings import table_mappings
from pm_replication.running_tasks import RunningTasks, RunningTasksProps
from pm_replication.service_roles import DmsServiceRoles
from pm_replication.task_settings import task_settings

# Replication slots; the engine makes them before it starts the tasks that read them.
FORWARD_SLOT = "pm_forward"
REVERSE_SLOT = "pm_reverse"
# The engine's schema, in both databases before a task starts and dropped with everything in it by `pm finish`.
CONTROL_SCHEMA = "pm_control"
# A row in this table, arrived on the other side, proves that everything written before it has arrived too.
MARKER_TABLE = f"{CONTROL_SCHEMA}.marker"
# A CDC task compares every row anew when it starts, on a writer that has just been opened: at leisure.
_LOAD_VALIDATION_THREADS = 5
_CDC_VALIDATION_THREADS = 2


class PropsError(ValueError):
    """The props of a construct contradict each other; the message says what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseReplicationProps:
    """What the replication between two databases needs to know.

    Attributes:
        environment: The environment that hosts the replication instance.
        suffix: The deployment's environmentSuffix.
        subnet_ids: Private subnets in at least two availability zones.
        security_group_id: Security group of the replication instance; both databases admit it.
        source: The database that payments come from.
        target: The database that payments move to.
        tables: Replicated tables, ``schema.table``; the marker table is added.
        instance_class: DMS class, for example ``dms.r5.large``.
        engine_version: DMS version.
        multi_az: Whether the instance has a standby in a second zone.
        storage_gib: Storage of the instance for logs and cached changes.
        ssl_mode: How the endpoints connect.
        certificate_arn: DMS certificate with the databases' CA; needed by ``verify-ca`` and ``verify-full``.
        slot_plugin: Output plugin of the replication slots.
        validation: Whether each task compares the rows that it replicates with their source.
        service_roles: Whether to create the account-wide roles of DMS.
        log_retention_days: Retention of the log groups.

    Raises:
        PropsError: A verifying mode has no certificate, or there are fewer than two subnets.
    """

    environment: str
    suffix: str
    subnet_ids: tuple[str, ...]
    security_group_id: str
    source: ReplicatedDatabase
    target: ReplicatedDatabase
    tables: tuple[str, ...]
    instance_class: str
    engine_version: str
    multi_az: bool
    storage_gib: int
    ssl_mode: DmsSslMode
    certificate_arn: str | None = None
    slot_plugin: str
    validation: bool = True
    service_roles: bool
    log_retention_days: int

    def __post_init__(self) -> None:
        if self.ssl_mode in ("verify-ca", "verify-full") and self.certificate_arn is None:
            raise PropsError(f"ssl_mode {self.ssl_mode}: DMS verifies a server only with a certificate_arn")
        if len(self.subnet_ids) < 2:
            raise PropsError(f"{len(self.subnet_ids)} subnet: a DMS subnet group covers at least two zones")


class DatabaseReplication(Construct):
    """A replication instance, five endpoints and three tasks.

    ``load`` (full load and CDC, source to target), ``reverse`` (CDC, target to source) and ``forward`` (CDC, source to
    target again, after a rollback). CloudFormation creates tasks stopped; the engine starts them. Deleting the stack
    stops them first, and so does changing them.

    Attributes:
        instance: The replication instance.
        load_task: Full load and CDC.
        forward_task: CDC, source to target.
        reverse_task: CDC, target to source.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: DatabaseReplicationProps) -> None:
        super().__init__(scope, construct_id)
        self._props = props
        instance_name = self._name("replication-instance")
        self.key = CustomerKey(
            self,
            "Key",
            environment=props.environment,
            suffix=props.suffix,
            qualifier="replication",
            description="Replication instance, endpoints and logs of the payment migration",
        )
        # DMS writes all tasks' logs here, and would make the group itself, unencrypted and for ever.
        task_logs = encrypted_log_group(
            self,
            "TaskLogs",
            name=f"dms-tasks-{instance_name}",
            key=self.key,
            retention_days=props.log_retention_days,
        )
        subnets = self._subnets()
        self.instance = self._instance(instance_name, subnets)
        self.instance.node.add_dependency(task_logs)
        self._tasks()
        running = self._keep_updates_possible()
        if props.service_roles:
            self._wait_for(DmsServiceRoles(self, "ServiceRoles"), running, subnets)

    def _name(self, resource_type: ResourceType, qualifier: str = "") -> str:
        return resource_name(resource_type, self._props.environment, self._props.suffix, qualifier=qualifier)

    def _subnets(self) -> dms.CfnReplicationSubnetGroup:
        return dms.CfnReplicationSubnetGroup(
            self,
            "Subnets",
            replication_subnet_group_identifier=self._name("subnet-group", "replication"),
            replication_subnet_group_description="Private subnets of the replication instance",
            subnet_ids=list(self._props.subnet_ids),
        )

    def _wait_for(self, roles: DmsServiceRoles, running: RunningTasks, subnets: dms.CfnReplicationSubnetGroup) -> None:
        """DMS refuses a role that IAM has only just made ("not configured properly"), for up to half a minute.

        Nobody but DMS can tell when it is over. So what takes CloudFormation longer comes in between: a role, a policy
        and the function that has both, which is needed anyway, though not before the subnet group.

        Source: terraform-provider-aws #11025.
        """
        running.provider.role.node.add_dependency(roles)
        subnets.node.add_dependency(running.provider.function)

    def _instance(self, name: str, subnets: dms.CfnReplicationSubnetGroup) -> dms.CfnReplicationInstance:
        props = self._props
        return dms.CfnReplicationInstance(
            self,
            "Instance",
            replication_instance_identifier=name,
            replication_instance_class=props.instance_class,
            engine_version=props.engine_version,
            allocated_storage=props.storage_gib,
            multi_az=props.multi_az,
            publicly_accessible=False,
            kms_key_id=self.key.key_arn,
            # The group's own name as CloudFormation returns it: DMS lowers the case of what it is given.
            replication_subnet_group_identifier=subnets.ref,
            vpc_security_group_ids=[props.security_group_id],
            # A version changes when the setting does, never in the middle of a migration.
            auto_minor_version_upgrade=False,
            allow_major_version_upgrade=False,
        )

    def _tasks(self) -> None:
        props = self._props
        options = EndpointOptions(
            ssl_mode=props.ssl_mode,
            certificate_arn=props.certificate_arn,
            key_arn=self.key.key_arn,
            slot_plugin=props.slot_plugin,
            artifacts_schema=CONTROL_SCHEMA,
        )
        source_access = SecretAccess(
            self,
            "SourceAccess",
            role_name=self._name("role", "dms-source"),
            policy_name=self._name("policy", "dms-source"),
            database=props.source,
        )
        target_access = SecretAccess(
            self,
            "TargetAccess",
            role_name=self._name("role", "dms-target"),
            policy_name=self._name("policy", "dms-target"),
            database=props.target,
        )
        self.source_loader = reader_endpoint(
            self,
            "SourceLoader",
            identifier=self._name("endpoint", "source-loader"),
            database=props.source,
            access=source_access,
            slot=None,
            options=options,
        )
        self.source_reader = reader_endpoint(
            self,
            "SourceReader",
            identifier=self._name("endpoint", "source-reader"),
            database=props.source,
            access=source_access,
            slot=FORWARD_SLOT,
            options=options,
        )
        self.target_reader = reader_endpoint(
            self,
            "TargetReader",
            identifier=self._name("endpoint", "target-reader"),
            database=props.target,
            access=target_access,
            slot=REVERSE_SLOT,
            options=options,
        )
        self.source_writer = writer_endpoint(
            self,
            "SourceWriter",
            identifier=self._name("endpoint", "source-writer"),
            database=props.source,
            access=source_access,
            options=options,
        )
        self.target_writer = writer_endpoint(
            self,
            "TargetWriter",
            identifier=self._name("endpoint", "target-writer"),
            database=props.target,
            access=target_access,
            options=options,
        )
        self.load_task = self._task("LoadTask", "load", "full-load-and-cdc", self.source_loader, self.target_writer)
        self.forward_task = self._task("ForwardTask", "forward", "cdc", self.source_reader, self.target_writer)
        self.reverse_task = self._task("ReverseTask", "reverse", "cdc", self.target_reader, self.source_writer)

    def _keep_updates_possible(self) -> RunningTasks:
        props = self._props
        tasks = (self.load_task, self.forward_task, self.reverse_task)
        endpoints = (
            self.source_loader,
            self.source_reader,
            self.source_writer,
            self.target_reader,
            self.target_writer,
        )
        stack = cdk.Stack.of(self)
        return RunningTasks(
            self,
            "RunningTasks",
            props=RunningTasksProps(
                environment=props.environment,
                suffix=props.suffix,
                instance_arn=self.instance.ref,
                tasks={task.replication_task_identifier or task.node.id: task for task in tasks},
                endpoints=endpoints,
                definition=json.dumps([stack.resolve(one._cfn_properties) for one in (*tasks, *endpoints)]),
                key=self.key,
                log_retention_days=props.log_retention_days,
            ),
        )

    def _task(
        self, construct_id: str, name: str, migration_type: str, reader: dms.CfnEndpoint, writer: dms.CfnEndpoint
    ) -> dms.CfnReplicationTask:
        threads = _CDC_VALIDATION_THREADS if migration_type == "cdc" else _LOAD_VALIDATION_THREADS
        return dms.CfnReplicationTask(
            self,
            construct_id,
            replication_task_identifier=self._name("replication-task", name),
            replication_instance_arn=self.instance.ref,
            migration_type=migration_type,
            source_endpoint_arn=reader.ref,
            target_endpoint_arn=writer.ref,
            table_mappings=table_mappings((*self._props.tables, MARKER_TABLE)),
            replication_task_settings=task_settings(
                control_schema=CONTROL_SCHEMA, validation_threads=threads if self._props.validation else 0
            ),
        )
