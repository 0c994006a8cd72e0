"""Every stack says what comes next, from the same table that orders the deployment."""

from typing import get_args

import pytest

from pm_core import Environment, MigrationPhase
from pm_stacks import stack_ids, tiers_of
from pm_stacks.composition import _every_need
from pm_stacks.next_command import IN_PHASE, next_command

PHASES = get_args(MigrationPhase)
STACKS = sorted(
    {name for environment in get_args(Environment) for name in stack_ids(environment, tiers_of(environment))}
)


def test_next_are_those_that_waited_the_first_in_the_order() -> None:
    needs = {"a": (), "b": ("a",), "c": ("a", "b"), "d": ("a",), "e": ("c", "d")}
    assert next_command("a", needs, "prepare").line == "cdk deploy b d"
    assert next_command("b", needs, "prepare").line == "cdk deploy c"
    assert next_command("d", needs, "prepare").line == "cdk deploy e"
    assert next_command("e", needs, "prepare") == IN_PHASE["prepare"]


@pytest.mark.parametrize("phase", PHASES)
def test_needs_name_stacks_that_exist(phase: MigrationPhase) -> None:
    needs = _every_need(phase)
    assert sorted(needs) == STACKS
    assert {needed for every in needs.values() for needed in every} <= set(STACKS)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("stack", STACKS)
def test_whoever_follows_the_commands_comes_to_the_engine(stack: str, phase: MigrationPhase) -> None:
    """Each step deploys only stacks that need the last one, so the way is as long as the longest chain at most."""
    needs, at = _every_need(phase), stack
    for _ in STACKS:
        line = next_command(at, needs, phase).line
        if not line.startswith("cdk deploy "):
            assert line == IN_PHASE[phase].line
            return
        for following in line.split()[2:]:
            assert at in needs[following]
        at = line.split()[2]
    pytest.fail(f"{stack}: the commands go round in a circle")


def test_a_target_that_stands_alone_needs_nothing_of_the_source_but_the_name() -> None:
    """`cdk destroy` takes along what needs a stack: the source must be destroyable under the target's service."""
    needs = _every_need("complete")
    assert {one for one in needs["compute-target"] if "target" not in one} == {"certificate"}
    assert "data-source" in _every_need("cutover")["compute-target"]


def test_shared_tiers_are_the_source_s_and_replication_the_target_s() -> None:
    assert {"zone", "certificate"} <= set(tiers_of("source"))
    assert not {"zone", "certificate"} & set(tiers_of("target"))
    assert "replication" in set(tiers_of("target")) - set(tiers_of("source"))
