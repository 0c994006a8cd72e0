"""PaymentDatabase, TransactionLogs, AuditReplica and DatabaseRoles of one environment."""

from pm_data.audit import (
    AuditPropsError,
    AuditReplica,
    AuditReplicaProps,
    audit_replica,
    replica_bucket_name,
    replica_key_alias,
)
from pm_data.bucket_replication import Replica, replication_role_arn
from pm_data.database import (
    DATABASE_NAME,
    MASTER_USERNAME,
    PORT,
    DatabasePropsError,
    PaymentDatabase,
    PaymentDatabaseProps,
    engine_version,
)
from pm_data.functions.grants import LOGIN_ROLES
from pm_data.logs import LogsPropsError, TransactionLogs, TransactionLogsProps, log_bucket_name
from pm_data.roles import DatabaseRoles, DatabaseRolesProps
from pm_data.rotation import (
    ALTERNATING_USERS,
    ROTATION_DAYS,
    SecretRotation,
    SecretRotationProps,
    rotation_function_name,
)
from pm_data.secrets import DatabaseSecret

__all__ = [
    "AuditPropsError",
    "AuditReplica",
    "AuditReplicaProps",
    "ALTERNATING_USERS",
    "DATABASE_NAME",
    "DatabasePropsError",
    "DatabaseRoles",
    "DatabaseRolesProps",
    "DatabaseSecret",
    "LOGIN_ROLES",
    "LogsPropsError",
    "MASTER_USERNAME",
    "PORT",
    "ROTATION_DAYS",
    "SecretRotation",
    "SecretRotationProps",
    "PaymentDatabase",
    "PaymentDatabaseProps",
    "Replica",
    "TransactionLogs",
    "TransactionLogsProps",
    "audit_replica",
    "engine_version",
    "log_bucket_name",
    "replica_bucket_name",
    "replica_key_alias",
    "replication_role_arn",
    "rotation_function_name",
]
