"""The Stack classes that both environments' apps compose, one module per tier."""

from pm_stacks.base import TierStack
from pm_stacks.composition import Selection, SelectionError, compose_environment, stack_ids, tiers_of
from pm_stacks.environments import catalogue, installed_environments
from pm_stacks.rule_packs import add_rule_packs
from pm_stacks.tiers import StackEntry, Tier

__all__ = [
    "Selection",
    "SelectionError",
    "StackEntry",
    "Tier",
    "TierStack",
    "add_rule_packs",
    "catalogue",
    "compose_environment",
    "installed_environments",
    "stack_ids",
    "tiers_of",
]
