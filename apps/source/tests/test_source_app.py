"""The source environment's app."""

import json
from pathlib import Path

import aws_cdk as cdk

from pm_core import Settings
from pm_source_app import STACK_IDS, compose
from pm_stacks import Selection

CONTEXT = json.loads((Path(__file__).parents[3] / "cdk.json").read_text())["context"]


def test_source_has_its_tiers_and_the_zone_in_order_of_deployment() -> None:
    stacks = compose(cdk.App(context=CONTEXT), Settings.parse(CONTEXT["settings"]), Selection())
    needs = {stack.node.id: {needed.node.id for needed in stack.dependencies} for stack in stacks}
    assert tuple(needs) == STACK_IDS
    assert needs == {
        "network-source": set(),
        "audit-source": set(),
        "data-source": {"audit-source", "network-source"},
        "registry-source": set(),
        "zone": set(),
        "certificate": {"zone"},
        "compute-source": {"network-source", "data-source", "registry-source", "certificate"},
        "traffic-source": {"compute-source", "zone"},
        "observability-source": {
            "network-source",
            "data-source",
            "registry-source",
            "compute-source",
            "traffic-source",
            "zone",
            "certificate",
        },
    }


def test_one_stack_is_built_alone() -> None:
    stacks = compose(
        cdk.App(context=CONTEXT), Settings.parse(CONTEXT["settings"]), Selection.parse("network-source,data-target")
    )
    assert [stack.stack_name for stack in stacks] == ["pm-network-source-dev"]
