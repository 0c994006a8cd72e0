"""PaymentDatabase, TransactionLogs and DatabaseRoles of one environment."""

from pm_data.database import (
    DATABASE_NAME,
    MASTER_USERNAME,
    PORT,
    DatabasePropsError,
    PaymentDatabase,
    PaymentDatabaseProps,
    engine_version,
)
from pm_data.encryption import DataKey, encrypted_log_group
from pm_data.logs import LogsPropsError, TransactionLogs, TransactionLogsProps
from pm_data.packaging import PackagingError
from pm_data.provider import Placement, ResourceFunction
from pm_data.roles import DatabaseRoles, DatabaseRolesProps
from pm_data.secrets import DatabaseSecret

__all__ = [
    "DATABASE_NAME",
    "MASTER_USERNAME",
    "PORT",
    "DataKey",
    "DatabasePropsError",
    "DatabaseRoles",
    "DatabaseRolesProps",
    "DatabaseSecret",
    "LogsPropsError",
    "PackagingError",
    "PaymentDatabase",
    "PaymentDatabaseProps",
    "Placement",
    "ResourceFunction",
    "TransactionLogs",
    "TransactionLogsProps",
    "encrypted_log_group",
    "engine_version",
]
