"""What a person must see and hear during a migration: dashboards, alarms, events, and a status endpoint."""

from pm_observability.alarms import RUNBOOK, UNSAFE, MigrationAlarms, MigrationAlarmsProps, ReplicaAlarm
from pm_observability.environment_dashboard import EnvironmentDashboard, EnvironmentDashboardProps
from pm_observability.events import ServiceEvents, ServiceEventsProps
from pm_observability.lines import LAG_LIMIT_SECONDS
from pm_observability.metrics import (
    LogReplica,
    MonitoredCertificate,
    MonitoredDatabase,
    MonitoredEndpoint,
    MonitoredEnvironment,
    MonitoredLogs,
    MonitoredReplication,
    MonitoredService,
)
from pm_observability.migration_dashboard import MigrationDashboard, MigrationDashboardProps
from pm_observability.status import AskedDatabase, ReplicationStatus, ReplicationStatusProps
from pm_observability.topic import AlarmTopic

__all__ = [
    "EnvironmentDashboard",
    "EnvironmentDashboardProps",
    "MigrationDashboard",
    "MigrationDashboardProps",
    "MigrationAlarms",
    "MigrationAlarmsProps",
    "ReplicaAlarm",
    "AlarmTopic",
    "ServiceEvents",
    "ServiceEventsProps",
    "ReplicationStatus",
    "ReplicationStatusProps",
    "AskedDatabase",
    "LogReplica",
    "MonitoredCertificate",
    "MonitoredDatabase",
    "MonitoredEndpoint",
    "MonitoredEnvironment",
    "MonitoredLogs",
    "MonitoredReplication",
    "MonitoredService",
    "LAG_LIMIT_SECONDS",
    "RUNBOOK",
    "UNSAFE",
]
