"""Which stacks a deployment has, which of them to build, and in which order they deploy."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, Self

import aws_cdk as cdk

from pm_core import Environment, Settings
from pm_stacks.base import Tier, TierStack, stack_id

# What a tier reads from or must find deployed: tiers of its own environment ("own"), or of the one that is named.
_NEEDS: dict[Tier, tuple[tuple[Tier, Literal["own"] | Environment], ...]] = {
    "network": (),
    "audit": (),
    "data": (("network", "own"), ("audit", "own")),
    "registry": (),
    "zone": (),
    "certificate": (("zone", "source"),),
    "compute": (
        ("network", "own"),
        ("data", "source"),
        ("data", "target"),
        ("registry", "own"),
        ("certificate", "source"),
    ),
    "traffic": (("compute", "own"), ("zone", "source")),
    "replication": (("network", "source"), ("network", "target"), ("data", "source"), ("data", "target")),
    "observability": (
        ("network", "own"),
        ("data", "own"),
        ("registry", "own"),
        ("compute", "own"),
        ("traffic", "own"),
        ("replication", "own"),
        ("zone", "source"),
    ),
}


class SelectionError(ValueError):
    """A selection matches no stack; the message names those that exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The stacks that a command wants, as globs over their ids.

    Attributes:
        patterns: For example ``data-source``, ``*-target``, ``zone``.
    """

    patterns: tuple[str, ...] = ("*",)

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """From comma-separated globs, as in ``-c only=data-source,zone``; None or nothing selects every stack."""
        patterns = tuple(part.strip() for part in (text or "").split(",") if part.strip())
        return cls(patterns=patterns or ("*",))

    def __contains__(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.patterns)

    def check(self, existing: Iterable[str]) -> None:
        """See that every pattern means something.

        Raises:
            SelectionError: A pattern matches none of ``existing``.
        """
        names = sorted(existing)
        for pattern in self.patterns:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise SelectionError(f"only: {pattern!r} matches no stack: use one of {', '.join(names)}, or a glob")


def stack_ids(environment: Environment, tiers: Iterable[Tier]) -> tuple[str, ...]:
    """The ids of an environment's stacks."""
    return tuple(stack_id(tier, environment) for tier in tiers)


def compose_environment(
    *, app: cdk.App, environment: Environment, tiers: Iterable[Tier], settings: Settings, only: Selection
) -> tuple[TierStack, ...]:
    """Build the selected stacks of one environment, and order them among all that ``app`` has by now.

    A stack that is not built is no dependency either: its tier must be deployed already.
    """
    built = tuple(
        _build(tier, app=app, environment=environment, settings=settings)
        for tier in tiers
        if stack_id(tier, environment) in only
    )
    _order(app)
    return built


def _order(app: cdk.App) -> None:
    stacks = {child.node.id: child for child in app.node.children if isinstance(child, TierStack)}
    for stack in stacks.values():
        for needed, whose in _needs(stack):
            found = stacks.get(stack_id(needed, stack.environment_name if whose == "own" else whose))
            if found is not None:
                stack.add_stack_dependency(found)


def _needs(stack: TierStack) -> tuple[tuple[Tier, Literal["own"] | Environment], ...]:
    needs = _NEEDS[stack.tier]
    if stack.tier == "data" and stack.environment_name == "source" and stack.settings.migration_phase != "prepare":
        return (*needs, ("data", "target"))  # the source's logs are copied to the target's bucket
    return needs


def _build(tier: Tier, *, app: cdk.App, environment: Environment, settings: Settings) -> TierStack:
    """One stack; imports only its own tier, since each AWS service costs a noticeable part of a second."""
    match tier:
        case "network":
            from pm_stacks.network import NetworkStack

            return NetworkStack(app=app, environment=environment, settings=settings)
        case "audit":
            from pm_stacks.audit import AuditStack

            return AuditStack(app=app, environment=environment, settings=settings)
        case "data":
            from pm_stacks.data import DataStack

            return DataStack(app=app, environment=environment, settings=settings)
        case "registry":
            from pm_stacks.registry import RegistryStack

            return RegistryStack(app=app, environment=environment, settings=settings)
        case "zone":
            from pm_stacks.zone import ZoneStack

            return ZoneStack(app=app, settings=settings)
        case "certificate":
            from pm_stacks.certificate import CertificateStack

            return CertificateStack(app=app, settings=settings)
        case "compute":
            from pm_stacks.compute import ComputeStack

            return ComputeStack(app=app, environment=environment, settings=settings)
        case "traffic":
            from pm_stacks.traffic import TrafficStack

            return TrafficStack(app=app, environment=environment, settings=settings)
        case "replication":
            from pm_stacks.replication import ReplicationStack

            return ReplicationStack(app=app, settings=settings)
        case "observability":
            from pm_stacks.observability import ObservabilityStack

            return ObservabilityStack(app=app, environment=environment, settings=settings)
