"""MigrationDashboard and MigrationAlarms: what a person must see during a migration."""

from pm_observability.alarms import LAG_LIMIT_SECONDS, MigrationAlarms, MigrationAlarmsProps
from pm_observability.dashboard import MigrationDashboard, MigrationDashboardProps
from pm_observability.metrics import MonitoredDatabase, MonitoredReplication, MonitoredService
from pm_observability.topic import AlarmTopic

__all__ = [
    "MigrationDashboard",
    "MigrationDashboardProps",
    "MigrationAlarms",
    "MigrationAlarmsProps",
    "AlarmTopic",
    "MonitoredDatabase",
    "MonitoredReplication",
    "MonitoredService",
    "LAG_LIMIT_SECONDS",
]
