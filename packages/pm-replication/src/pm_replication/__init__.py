"""DatabaseReplication: AWS DMS between the two environments, forward and reverse."""

from pm_replication.database import DmsSslMode, ReplicatedDatabase, SecretAccess
from pm_replication.mappings import MappingError, table_mappings
from pm_replication.replication import (
    FORWARD_SLOT,
    MARKER_TABLE,
    REVERSE_SLOT,
    DatabaseReplication,
    DatabaseReplicationProps,
    PropsError,
)
from pm_replication.service_roles import DmsServiceRoles
from pm_replication.task_settings import task_settings
from pm_replication.task_stopper import TaskStopper, TaskStopperProps

__all__ = [
    "DatabaseReplication",
    "DatabaseReplicationProps",
    "ReplicatedDatabase",
    "DmsSslMode",
    "PropsError",
    "FORWARD_SLOT",
    "REVERSE_SLOT",
    "MARKER_TABLE",
    "SecretAccess",
    "DmsServiceRoles",
    "TaskStopper",
    "TaskStopperProps",
    "table_mappings",
    "MappingError",
    "task_settings",
]
