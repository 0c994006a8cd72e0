"""The one place that makes resource names: ``<resource-type>-<environment>-<suffix>``."""

import re
from typing import Literal

ResourceType = Literal[
    "alarm",
    "alias",
    "bucket",
    "certificate",
    "cluster",
    "dashboard",
    "database",
    "endpoint",
    "event-rule",
    "event-subscription",
    "function",
    "load-balancer",
    "log-group",
    "parameter-group",
    "peering",
    "policy",
    "replication-instance",
    "replication-task",
    "repository",
    "role",
    "secret",
    "security-group",
    "service",
    "subnet-group",
    "target-group",
    "task-definition",
    "topic",
    "vpc",
]

# Longest name that AWS accepts, in characters. Source: each service's API reference.
LIMITS: dict[str, int] = {
    "alarm": 255,
    "alias": 250,
    "bucket": 63,
    "certificate": 255,
    "cluster": 255,
    "dashboard": 255,
    "database": 63,
    "endpoint": 255,
    "event-rule": 64,
    "event-subscription": 255,
    "function": 64,
    "load-balancer": 32,
    "log-group": 512,
    "parameter-group": 255,
    "peering": 255,
    "policy": 128,
    "replication-instance": 63,
    "replication-task": 255,
    "repository": 256,
    "role": 64,
    "secret": 512,
    "security-group": 255,
    "service": 255,
    "subnet-group": 255,
    "target-group": 32,
    "task-definition": 255,
    "topic": 256,
    "vpc": 255,
}

# One of each serves both environments; the source's app has them.
SHARED_TIERS = frozenset({"zone", "certificate"})

_QUALIFIER = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class NameTooLongError(ValueError):
    """A name exceeds what AWS accepts for its type."""


def resource_name(
    resource_type: ResourceType, environment: str, suffix: str, *, qualifier: str = "", reserve: int = 0
) -> str:
    """``<resource-type>[-<qualifier>]-<environment>-<suffix>``, lower case, within the type's limit.

    Args:
        resource_type: What AWS calls it.
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        qualifier: Tells several of one type apart, for example the role of a secret. Lower case, digits, dashes.
        reserve: Characters that the caller appends (a bucket's account id), counted against the limit.

    Raises:
        NameTooLongError: The name is longer than its type allows.
        ValueError: The qualifier has other characters.
    """
    if qualifier and not _QUALIFIER.fullmatch(qualifier):
        raise ValueError(f"qualifier {qualifier!r}: use lower-case letters, digits and single dashes")
    name = "-".join(part for part in (resource_type, qualifier, environment, suffix) if part)
    limit = LIMITS[resource_type]
    if len(name) + reserve > limit:
        raise NameTooLongError(
            f"{resource_type} name {name!r} has {len(name) + reserve} characters, AWS allows {limit}: "
            "use a shorter environmentSuffix"
        )
    return name


def stack_id(tier: str, environment: str) -> str:
    """What commands select a stack by: ``<tier>-<environment>``; ``<tier>`` when both environments share it."""
    return tier if tier in SHARED_TIERS else f"{tier}-{environment}"


def stack_name(tier: str, environment: str, suffix: str) -> str:
    """``pm-<tier>-<environment>-<suffix>``; ``pm-<tier>-<suffix>`` for a tier that both environments share."""
    return f"pm-{stack_id(tier, environment)}-{suffix}"
