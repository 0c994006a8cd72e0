"""The target environment's app."""

import json
from pathlib import Path

import aws_cdk as cdk

from pm_core import Settings
from pm_stacks import Selection
from pm_target_app import STACK_IDS, compose

CONTEXT = json.loads((Path(__file__).parents[3] / "cdk.json").read_text())["context"]


def test_target_has_its_tiers_and_the_replication_in_order_of_deployment() -> None:
    stacks = compose(cdk.App(context=CONTEXT), Settings.parse(CONTEXT["settings"]), Selection())
    needs = {stack.node.id: {needed.node.id for needed in stack.dependencies} for stack in stacks}
    assert tuple(needs) == STACK_IDS
    assert needs == {
        "network-target": set(),
        "audit-target": set(),
        "data-target": {"audit-target", "network-target"},
        "registry-target": set(),
        "compute-target": {"network-target", "data-target", "registry-target"},
        "traffic-target": {"compute-target"},
        "replication-target": {"network-target", "data-target"},
        "observability-target": {
            "network-target",
            "data-target",
            "registry-target",
            "compute-target",
            "traffic-target",
            "replication-target",
        },
        "operator-target": {
            "network-target",
            "registry-target",
            "data-target",
            "compute-target",
            "replication-target",
        },
    }
