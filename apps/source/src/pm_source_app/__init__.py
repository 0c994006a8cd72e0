"""The CDK app of the source environment."""

from pm_source_app.composition import STACK_IDS, TIERS, compose

__all__ = ["STACK_IDS", "TIERS", "compose"]
