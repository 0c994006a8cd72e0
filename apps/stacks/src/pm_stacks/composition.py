"""Which stacks a deployment has, which of them to build, and in which order they deploy."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, Self, get_args

import aws_cdk as cdk

from pm_core import NEEDS_KEY, SHARED_TIERS, Environment, MigrationPhase, Settings, stack_id
from pm_stacks.base import TierStack
from pm_stacks.next_command import Needs, next_command
from pm_stacks.tiers import Tier

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
        ("certificate", "source"),
    ),
    "operator": (
        ("network", "own"),
        ("registry", "own"),
        ("data", "source"),
        ("data", "target"),
        ("compute", "source"),
        ("compute", "target"),
        ("zone", "source"),
        ("traffic", "source"),
        ("replication", "own"),
    ),
}
# What the target's dashboard and status endpoint of the migration show of the source.
_SHOWN: tuple[tuple[Tier, Literal["own"] | Environment], ...] = (
    ("data", "source"),
    ("compute", "source"),
    ("traffic", "source"),
)
# What the target's service and what watches it no longer know in the last phase, so that it can be destroyed.
_LEFT_BEHIND: tuple[tuple[Tier, Literal["own"] | Environment], ...] = (("data", "source"), ("replication", "own"))
# Where a tier is that not every environment has; what both share is the source's.
_ONLY_IN: dict[Tier, Environment] = {"replication": "target", "operator": "target"}


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


def tiers_of(environment: Environment) -> tuple[Tier, ...]:
    """The tiers that an environment's app has, those first that others need."""
    return tuple(
        tier for tier in _NEEDS if _ONLY_IN.get(tier, "source" if tier in SHARED_TIERS else environment) == environment
    )


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
    needs = _every_need(settings.migration_phase)
    _order(app, needs)
    for stack in built:
        following = next_command(stack.node.id, needs, settings.migration_phase)
        cdk.CfnOutput(stack, "NextCommand", value=following.line, description=following.description)
    return built


def _order(app: cdk.App, needs: Needs) -> None:
    stacks = {child.node.id: child for child in app.node.children if isinstance(child, TierStack)}
    for name, stack in stacks.items():
        stack.add_metadata(NEEDS_KEY, list(needs[name]))
        for needed in needs[name]:
            if needed in stacks:
                stack.add_stack_dependency(stacks[needed])


def _every_need(phase: MigrationPhase) -> Needs:
    """Every stack of both environments, whether it is built or not."""
    environments: tuple[Environment, ...] = get_args(Environment)
    return {
        stack_id(tier, environment): tuple(
            stack_id(needed, environment if whose == "own" else whose)
            for needed, whose in _needs(tier, environment, phase)
            if whose != "own" or needed in tiers_of(environment)
        )
        for environment in environments
        for tier in tiers_of(environment)
    }


def _needs(
    tier: Tier, environment: Environment, phase: MigrationPhase
) -> tuple[tuple[Tier, Literal["own"] | Environment], ...]:
    needs = _NEEDS[tier]
    if environment == "source":
        # The source's logs are copied to the target's bucket.
        return (*needs, ("data", "target")) if tier == "data" and phase != "prepare" else needs
    if phase == "complete" and tier in ("compute", "observability"):
        return tuple(need for need in needs if need not in _LEFT_BEHIND)
    return (*needs, *_SHOWN) if tier == "observability" else needs


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
        case "operator":
            from pm_stacks.operator import OperatorStack

            return OperatorStack(app=app, settings=settings)
