"""The tiers, and what is known of a stack without building it."""

from dataclasses import dataclass
from typing import Literal

from pm_core import Environment, Settings, stack_id, stack_name

Tier = Literal[
    "network",
    "audit",
    "data",
    "registry",
    "zone",
    "certificate",
    "compute",
    "traffic",
    "replication",
    "observability",
    "operator",
]

# Tiers that share another tier's package; any other tier is made from `pm-<tier>`.
_PACKAGES = {
    "audit": "pm-data",
    "registry": "pm-compute",
    "operator": "pm-compute",
    "zone": "pm-traffic",
    "certificate": "pm-traffic",
}
# What a tier takes from another tier's package beside its own.
_BORROWED: dict[Tier, tuple[str, ...]] = {"audit": ("pm-observability",), "observability": ("pm-data",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class StackEntry:
    """One stack.

    Attributes:
        tier: Which tier it is of.
        environment: source or target; source for a tier that both share.
    """

    tier: Tier
    environment: Environment

    @property
    def id(self) -> str:
        """What commands select it by."""
        return stack_id(self.tier, self.environment)

    @property
    def package(self) -> str:
        """The package that it is made from."""
        return _PACKAGES.get(self.tier, f"pm-{self.tier}")

    @property
    def packages(self) -> tuple[str, ...]:
        """Every tier's package that decides what its template says, its own first."""
        return (self.package, *_BORROWED.get(self.tier, ()))

    def name(self, suffix: str) -> str:
        """CloudFormation's name for it."""
        return stack_name(self.tier, self.environment, suffix)

    def region(self, settings: Settings) -> str:
        """Where it lives: the audit replica away from everything else."""
        return settings.replica_region if self.tier == "audit" else settings.region
