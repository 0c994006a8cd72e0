"""DatabaseReplication: AWS DMS between the two environments, forward and reverse."""

from pm_replication.database import DmsSslMode, ReplicatedDatabase, SecretAccess
from pm_replication.link import EnvironmentLink, EnvironmentLinkProps, LinkedNetwork
from pm_replication.mappings import MappingError, table_mappings
from pm_replication.replication import (
    CONTROL_SCHEMA,
    FORWARD_SLOT,
    MARKER_TABLE,
    REVERSE_SLOT,
    DatabaseReplication,
    DatabaseReplicationProps,
    PropsError,
)
from pm_replication.running_tasks import RunningTasks, RunningTasksProps
from pm_replication.service_roles import DmsServiceRoles
from pm_replication.task_settings import task_settings

__all__ = [
    "DatabaseReplication",
    "DatabaseReplicationProps",
    "EnvironmentLink",
    "EnvironmentLinkProps",
    "LinkedNetwork",
    "ReplicatedDatabase",
    "DmsSslMode",
    "PropsError",
    "CONTROL_SCHEMA",
    "FORWARD_SLOT",
    "REVERSE_SLOT",
    "MARKER_TABLE",
    "SecretAccess",
    "DmsServiceRoles",
    "RunningTasks",
    "RunningTasksProps",
    "table_mappings",
    "MappingError",
    "task_settings",
]
