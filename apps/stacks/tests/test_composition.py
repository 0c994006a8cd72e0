"""Which stacks are built, what they are called, and in which order they deploy."""

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from pm_core import NetworkContract, Settings
from pm_stacks import Selection, SelectionError, Tier, TierStack, compose_environment, stack_ids

CONTEXT = json.loads((Path(__file__).parents[3] / "cdk.json").read_text())["context"]
SETTINGS = Settings.parse({"environmentSuffix": "t1", "domain": "payments.internal"})
TIERS: tuple[Tier, ...] = ("network", "data", "registry")


def compose(app: cdk.App, only: str | None = None) -> dict[str, TierStack]:
    built = compose_environment(
        app=app, environment="source", tiers=TIERS, settings=SETTINGS, only=Selection.parse(only)
    )
    return {stack.node.id: stack for stack in built}


@pytest.fixture(scope="module")
def stacks() -> dict[str, TierStack]:
    return compose(cdk.App(context=CONTEXT))


@pytest.fixture(scope="module")
def templates(stacks: dict[str, TierStack]) -> dict[str, Any]:
    app = stacks["data-source"].node.root
    assert isinstance(app, cdk.App)
    return {artifact.stack_name: artifact for artifact in app.synth().stacks}


def test_stack_names_carry_tier_environment_and_suffix(stacks: dict[str, TierStack]) -> None:
    assert {stack_id: stack.stack_name for stack_id, stack in stacks.items()} == {
        "network-source": "pm-network-source-t1",
        "data-source": "pm-data-source-t1",
        "registry-source": "pm-registry-source-t1",
    }


def test_data_deploys_after_its_network(stacks: dict[str, TierStack]) -> None:
    assert [stack.node.id for stack in stacks["data-source"].dependencies] == ["network-source"]
    assert stacks["network-source"].dependencies == stacks["registry-source"].dependencies == []


def test_a_stack_that_is_not_built_is_no_dependency() -> None:
    built = compose(cdk.App(context=CONTEXT), "data-*")
    assert list(built) == ["data-source"]
    assert built["data-source"].dependencies == []


def test_stacks_are_tagged_and_say_their_package_version(templates: dict[str, Any]) -> None:
    stack = templates["pm-network-source-t1"]
    assert stack.tags == {
        "Environment": "source-t1",
        "MigrationPhase": "prepare",
        "CostCenter": "payments",
        "PackageVersion": stack.template["Outputs"]["PackageVersion"]["Value"],
    }
    vpc = next(one for one in stack.template["Resources"].values() if one["Type"] == "AWS::EC2::VPC")
    assert {"Key": "Environment", "Value": "source-t1"} in vpc["Properties"]["Tags"]


def test_tiers_meet_in_parameters_only(templates: dict[str, Any]) -> None:
    published = {
        resource["Properties"]["Name"]
        for resource in templates["pm-network-source-t1"].template["Resources"].values()
        if resource["Type"] == "AWS::SSM::Parameter"
    }
    data = templates["pm-data-source-t1"].template
    wanted = {
        parameter["Default"]
        for parameter in data["Parameters"].values()
        if parameter["Type"] == "AWS::SSM::Parameter::Value<String>" and parameter["Default"].startswith("/pm/")
    }
    assert wanted
    assert wanted <= published
    for artifact in templates.values():
        text = json.dumps(artifact.template)
        assert "Fn::ImportValue" not in text
        assert not any("Export" in output for output in artifact.template["Outputs"].values())


def test_only_what_is_read_becomes_a_template_parameter() -> None:
    stack = TierStack(app=cdk.App(context=CONTEXT), tier="compute", environment="target", settings=SETTINGS)
    network = stack.read(NetworkContract)
    cdk.CfnOutput(stack, "Vpc", value=network.vpc_id)
    assert len(stack.read(NetworkContract, environment="source").private_subnet_ids) == 2
    with pytest.raises(AttributeError, match="has no field 'vpc'"):
        network.vpc  # type: ignore[attr-defined]  # noqa: B018 - the point of this test
    parameters = [
        child.default for child in stack.node.find_all() if isinstance(child, cdk.CfnParameter) and child.default
    ]
    assert parameters == [
        "/pm/t1/target/network/vpc-id",
        "/pm/t1/source/network/private-subnet-ids/1",
        "/pm/t1/source/network/private-subnet-ids/2",
    ]


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        (None, {"zone", "data-source", "data-target"}),
        ("", {"zone", "data-source", "data-target"}),
        ("zone", {"zone"}),
        ("data-*", {"data-source", "data-target"}),
        (" zone , *-target ", {"zone", "data-target"}),
    ],
)
def test_selection_is_globs_between_commas(text: str | None, chosen: set[str]) -> None:
    only = Selection.parse(text)
    assert {name for name in ("zone", "data-source", "data-target") if name in only} == chosen


def test_a_pattern_without_a_stack_is_refused_with_what_exists() -> None:
    with pytest.raises(SelectionError, match="'databse-source' matches no stack: use one of data-source, data-target"):
        Selection.parse("data-*,databse-source").check(["data-source", "data-target"])


def test_stack_ids_name_tier_and_environment() -> None:
    assert stack_ids("target", ("network", "data")) == ("network-target", "data-target")
    assert stack_ids("source", ("zone",)) == ("zone",)
