"""What is known of a stack without building it."""

import ast
from importlib import import_module
from inspect import getsource
from typing import get_args

import pytest

from pm_stacks import StackEntry, Tier

TIER_PACKAGES = {StackEntry(tier=tier, environment="source").package for tier in get_args(Tier)}


@pytest.mark.parametrize("tier", get_args(Tier))
def test_a_stack_names_every_package_that_it_is_made_from(tier: Tier) -> None:
    """A rollback installs those: what is not named would be today's."""
    module = import_module(f"pm_stacks.{tier}")
    imported = {
        node.module.partition(".")[0].replace("_", "-")
        for node in ast.walk(ast.parse(getsource(module)))
        if isinstance(node, ast.ImportFrom) and node.module
    }
    assert imported & TIER_PACKAGES == set(StackEntry(tier=tier, environment="source").packages)
