"""Deploying, deploying again, updating one tier at a time, and destroying, of two deployments in one account."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pm_core.cdk_cli import find_project
from pm_rehearsal.cdk import CdkCli
from pm_rehearsal.deployment import settings_of
from pm_rehearsal.leftovers import LISTERS, inventory
from pm_rehearsal.stage import Stage, StageOptions

PROJECT = find_project(Path(__file__))
FIRST, SECOND = "left", "right"
# The second deployment's: other networks, and DMS's account-wide roles are the first one's.
BESIDE: dict[str, Any] = {
    "source": {"cidr": "10.30.0.0/16"},
    "target": {"cidr": "10.40.0.0/16"},
    "domain": "beside.internal",
    "replicationRoles": False,
}


@dataclass(frozen=True)
class Account:
    stage: Stage
    cdk: dict[str, CdkCli]
    stacks: list[str]

    def inventory(self) -> set[str]:
        regions = (self.stage.settings.region, self.stage.settings.replica_region)
        return inventory(self.stage.cloud.client, regions=regions)

    def of(self, suffix: str) -> set[str]:
        return {entry for entry in self.inventory() if suffix in entry}

    def resources(self, suffix: str) -> dict[tuple[str, str], str]:
        """What every logical id of the deployment's stacks stands for, task definitions without their revision."""
        found = {}
        for region in (self.stage.settings.region, self.stage.settings.replica_region):
            cloudformation = self.stage.cloud.client("cloudformation", region=region)
            for page in cloudformation.get_paginator("describe_stacks").paginate():
                for stack in page["Stacks"]:
                    if stack["StackName"].endswith(f"-{suffix}"):
                        name = stack["StackName"]
                        for one in cloudformation.describe_stack_resources(StackName=name)["StackResources"]:
                            versioned = one["ResourceType"] == "AWS::ECS::TaskDefinition"
                            identity = one["PhysicalResourceId"]
                            found[name, one["LogicalResourceId"]] = (
                                identity.rpartition(":")[0] if versioned else identity
                            )
        return found

    def changed(self, cdk: CdkCli, stacks: list[str]) -> int:
        """How many of the stacks a deployment changes."""
        lines: list[str] = []
        cdk.deploy(stacks, on_line=lines.append)
        return len(stacks) - sum("(no changes)" in line for line in lines)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    directory = tmp_path_factory.mktemp("deployments")
    with Stage(StageOptions(project=PROJECT, directory=directory, suffix=FIRST)) as stage:
        stacks = stage.synthesize()
        stage.bootstrap()
        stage.deploy_registries(stacks)
        stage.cdk.deploy([name for name in stacks if not name.startswith("registry-")])
        second = CdkCli(
            project=PROJECT,
            assembly=directory / "second.out",
            environment=stage.cloud.environment,
            log=directory / "second.log",
        )
        second.synth(settings_of(PROJECT, suffix=SECOND) | BESIDE)
        stage.deploy_registries(stacks, cdk=second, suffix=SECOND)
        second.deploy([name for name in stacks if not name.startswith("registry-")])
        yield Account(stage, {FIRST: stage.cdk, SECOND: second}, stacks)


def test_two_deployments_live_side_by_side(account: Account) -> None:
    stacks = {
        stack["StackName"]: stack["StackStatus"]
        for region in (account.stage.settings.region, account.stage.settings.replica_region)
        for page in account.stage.cloud.client("cloudformation", region=region)
        .get_paginator("describe_stacks")
        .paginate()
        for stack in page["Stacks"]
    }
    for suffix in (FIRST, SECOND):
        mine = {name: status for name, status in stacks.items() if name.endswith(f"-{suffix}")}
        assert len(mine) == len(account.stacks)
        assert set(mine.values()) == {"CREATE_COMPLETE"}


def test_whatever_templates_make_is_found_while_it_is_there(account: Account) -> None:
    """So that a destroy that leaves one of its kind is noticed."""
    templates = [json.loads(path.read_text()) for path in account.cdk[FIRST].assembly.glob("*.template.json")]
    made = {resource["Type"] for template in templates for resource in template["Resources"].values()}
    found = {entry.split()[1] for entry in account.stage.leftovers()}
    assert len(made) > 40
    assert made & set(LISTERS) - found == set()


def test_deploying_again_changes_nothing(account: Account) -> None:
    for cdk in account.cdk.values():
        assert account.changed(cdk, account.stacks) == 0


def test_each_tier_moves_to_the_next_phase_alone_and_no_weight_moves_with_it(account: Account) -> None:
    cdk, ssm = account.cdk[SECOND], account.stage.cloud.client("ssm")
    weights = {
        f"/pm/{SECOND}/source/zone/weight-{side}": weight for side, weight in (("source", "60"), ("target", "40"))
    }
    for path, weight in weights.items():  # as `pm shift 40` leaves them
        ssm.put_parameter(Name=path, Value=weight, Type="String", Overwrite=True)
    before = account.resources(SECOND)
    cdk.synth(settings_of(PROJECT, suffix=SECOND) | BESIDE | {"migrationPhase": "replicate"})
    # Of the shared stacks the zone carries no tag (its weights must not be touched) but on the zone itself.
    alone = {stack.rpartition("-")[0]: stack for stack in account.stacks}  # one of each tier
    for stack in alone.values():
        assert account.changed(cdk, [stack]) == 1, stack
    assert account.changed(cdk, account.stacks) == len(account.stacks) - len(alone)
    assert account.changed(account.cdk[FIRST], account.stacks) == 0
    after = account.resources(SECOND)
    # Nothing was replaced but what stands for the records, which take the weights in force.
    replaced = [key for key in before if after.get(key) != before[key]]
    assert sorted(stack for stack, _ in replaced) == [f"pm-traffic-{side}-{SECOND}" for side in ("source", "target")]
    assert all(logical_id.startswith("EndpointKeptWeight") for _, logical_id in replaced), replaced
    found = ssm.get_parameters(Names=list(weights))["Parameters"]
    assert {parameter["Name"]: parameter["Value"] for parameter in found} == weights


def test_destroying_one_deployment_leaves_the_other_alone(account: Account) -> None:
    before = account.of(FIRST)
    assert account.of(SECOND)
    account.cdk[SECOND].destroy()
    assert account.of(SECOND) == set()
    assert account.of(FIRST) == before
    assert account.changed(account.cdk[FIRST], account.stacks) == 0
    account.stage.cdk.destroy()
    assert account.stage.leftovers() == ()
