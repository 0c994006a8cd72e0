"""The Stack classes that both environments' apps compose, one module per tier."""

from pm_stacks.base import Tier, TierStack, stack_id
from pm_stacks.composition import Selection, SelectionError, compose_environment, stack_ids
from pm_stacks.rule_packs import add_rule_packs

__all__ = [
    "Selection",
    "SelectionError",
    "Tier",
    "TierStack",
    "add_rule_packs",
    "compose_environment",
    "stack_id",
    "stack_ids",
]
