"""A phase of the migration moves tags and what the phase decides, and nothing else; above all no weight."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, get_args

import pytest
from both_apps import CONTEXT, composed

from pm_core import MigrationPhase

PHASES: tuple[MigrationPhase, ...] = get_args(MigrationPhase)
Stacks = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def phases() -> dict[str, Stacks]:
    """Every template in every phase."""
    return {
        phase: {
            stack.id: stack.template
            for stack in composed(CONTEXT["settings"] | {"migrationPhase": phase}).synth().stacks
        }
        for phase in PHASES
    }


def changed(before: Any, after: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where two templates differ; an object that only one of them has is one place."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from changed(before.get(key), after.get(key), (*path, key))
    elif before != after:
        yield path


def decided(phases: dict[str, Stacks], first: str, second: str) -> dict[str, set[str]]:
    """Types of the resources that change between two phases in more than their tags, by stack."""
    found: dict[str, set[str]] = {}
    for stack, template in phases[first].items():
        before, after = template["Resources"], phases[second][stack]["Resources"]
        for name, *rest in changed(before, after):
            if not any(part.endswith("Tags") for part in rest):
                found.setdefault(stack, set()).add((before.get(name) or after[name])["Type"])
    return found


SHOWN = {"AWS::CloudWatch::Dashboard"}
RUNG = {"AWS::CloudWatch::Alarm"}
# What watches the migration is taken away at its end, with the function that tells how it goes.
WATCHES = {
    *("AWS::CloudWatch::CompositeAlarm", "AWS::DMS::EventSubscription", "AWS::IAM::ManagedPolicy", "AWS::IAM::Role"),
    *("AWS::KMS::Alias", "AWS::KMS::Key", "AWS::Lambda::Function", "AWS::Lambda::Url", "AWS::Logs::LogGroup"),
    *("AWS::SNS::TopicPolicy", "AWS::SSM::Parameter"),
}
EXPECTED: dict[tuple[str, str], dict[str, set[str]]] = {
    ("prepare", "replicate"): {
        "data-source": {"AWS::S3::Bucket", "AWS::IAM::ManagedPolicy"},  # logs follow the payments from now on
        "observability-source": SHOWN | RUNG,  # and are watched on their way
        "observability-target": SHOWN | RUNG,
    },
    ("replicate", "shift"): {"observability-target": SHOWN},
    ("shift", "cutover"): {"observability-target": SHOWN | RUNG},
    ("cutover", "complete"): {
        "compute-target": {"AWS::ECS::TaskDefinition", "AWS::IAM::ManagedPolicy"},  # knows the target alone
        "observability-target": SHOWN | RUNG | WATCHES,
    },
}


@pytest.mark.parametrize(("first", "second"), list(pairwise(PHASES)))
def test_a_phase_changes_what_depends_on_it_and_nothing_else(
    first: str, second: str, phases: dict[str, Stacks]
) -> None:
    assert decided(phases, first, second) == EXPECTED[first, second]


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase_is_a_tag_of_everything_but_the_weights(phase: str, phases: dict[str, Stacks]) -> None:
    for stack, template in phases[phase].items():
        for name, resource in template["Resources"].items():
            tags = resource.get("Properties", {}).get("Tags")
            if isinstance(tags, dict):
                tags = [{"Key": key, "Value": value} for key, value in tags.items()]
            for tag in tags or ():
                assert tag["Key"] != "MigrationPhase" or tag["Value"] == phase, f"{stack}/{name}"
            if "Weight" in name and resource["Type"] == "AWS::SSM::Parameter":
                assert tags is None, f"{stack}/{name}"  # a changed tag would write the initial weight back
