"""The target environment: settings to stacks."""

import aws_cdk as cdk

from pm_core import Settings
from pm_stacks import Selection, Tier, TierStack, compose_environment, stack_ids, tiers_of

TIERS: tuple[Tier, ...] = tiers_of("target")
STACK_IDS = stack_ids("target", TIERS)


def compose(app: cdk.App, settings: Settings, only: Selection) -> tuple[TierStack, ...]:
    """Build this environment's selected stacks in ``app``, ordered after what they need of both environments."""
    return compose_environment(app=app, environment="target", tiers=TIERS, settings=settings, only=only)
