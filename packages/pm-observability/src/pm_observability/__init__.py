"""MigrationDashboard and MigrationAlarms: what a person must see during a migration."""

from pm_observability.alarms import LAG_LIMIT_SECONDS, MigrationAlarms, MigrationAlarmsProps
from pm_observability.dashboard import MigrationDashboard, MigrationDashboardProps
from pm_observability.metrics import (
    MonitoredDatabase,
    MonitoredEndpoint,
    MonitoredLogs,
    MonitoredReplication,
    MonitoredService,
)
from pm_observability.status import ReplicationStatus, ReplicationStatusProps
from pm_observability.topic import AlarmTopic

__all__ = [
    "MigrationDashboard",
    "MigrationDashboardProps",
    "MigrationAlarms",
    "MigrationAlarmsProps",
    "AlarmTopic",
    "ReplicationStatus",
    "ReplicationStatusProps",
    "MonitoredDatabase",
    "MonitoredEndpoint",
    "MonitoredLogs",
    "MonitoredReplication",
    "MonitoredService",
    "LAG_LIMIT_SECONDS",
]
