"""The CDK app of the target environment."""

from pm_target_app.composition import STACK_IDS, TIERS, compose

__all__ = ["STACK_IDS", "TIERS", "compose"]
