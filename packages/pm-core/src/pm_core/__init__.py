"""Names, settings, tags and SSM contracts of the payment migration (pure Python; the CDK part is ``pm_core.cdk``)."""

from pm_core.contracts import (
    CONTRACTS,
    CertificateContract,
    ComputeContract,
    Contract,
    ContractError,
    DataContract,
    NetworkContract,
    ObservabilityContract,
    RegistryContract,
    ReplicationContract,
    TrafficContract,
    ZoneContract,
    parameter_prefix,
)
from pm_core.names import SHARED_TIERS, NameTooLongError, resource_name, stack_name
from pm_core.settings import Environment, MigrationPhase, Settings, SettingsError
from pm_core.tags import tags

__all__ = [
    "CONTRACTS",
    "CertificateContract",
    "ComputeContract",
    "Contract",
    "ContractError",
    "DataContract",
    "Environment",
    "MigrationPhase",
    "NameTooLongError",
    "NetworkContract",
    "ObservabilityContract",
    "RegistryContract",
    "ReplicationContract",
    "SHARED_TIERS",
    "Settings",
    "SettingsError",
    "TrafficContract",
    "ZoneContract",
    "parameter_prefix",
    "resource_name",
    "stack_name",
    "tags",
]
