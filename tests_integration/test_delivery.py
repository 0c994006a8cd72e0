"""Tiers that live alone: one stack deployed from a release, rolled back, refused, destroyed, while payments go on."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from releases import ReleasingRepository

from pm_core import stack_id
from pm_core.cdk_cli import find_project
from pm_delivery.assembly import Template, synthesize
from pm_delivery.checks import producers, unmet
from pm_delivery.index import Index
from pm_delivery.project import Project
from pm_delivery.released import released_python
from pm_delivery.workspace import Workspace
from pm_rehearsal.cdk import CdkCli
from pm_rehearsal.cloud import inherited_environment
from pm_rehearsal.deployment import DIFFERENCES
from pm_rehearsal.load.process import LoadProcess
from pm_rehearsal.stage import Stage, StageOptions

PROJECT = find_project(Path(__file__))
SUFFIX = "tiers"
APPS = ("pm-source-app", "pm-target-app")
# What shows of pm-compute's new release: how often the load balancer checks a task.
INTERVAL_FILE = "packages/pm-compute/src/pm_compute/load_balancer.py"
INTERVAL, OTHER_INTERVAL = "interval=cdk.Duration.seconds(5)", "interval=cdk.Duration.seconds(6)"
SECONDS = 300


@dataclass(frozen=True)
class Deployed:
    """Every stack, made from the releases, and a load on both environments.

    Attributes:
        repository: Where releases are made.
        previous: The templates of the releases, by stack.
    """

    stage: Stage
    repository: ReleasingRepository
    previous: dict[str, Template]
    directory: Path
    load: LoadProcess

    def nox(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A session of noxfile.py, as it is called by it."""
        return subprocess.run(
            [sys.executable, "-m", "pm_delivery", verb, *arguments],
            cwd=self.repository.root,
            env={
                **inherited_environment(),
                **self.stage.cloud.environment,
                "PM_INDEX": str(self.repository.index),
                "PM_SETTINGS": str(self.directory / "settings.toml"),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def cdk(self, assembly: Path) -> CdkCli:
        return CdkCli(
            project=PROJECT,
            assembly=assembly,
            environment=self.stage.cloud.environment,
            log=assembly.with_suffix(".log"),
        )

    @property
    def released(self) -> CdkCli:
        return self.cdk(self.directory / "previous.out")

    def must(self, verb: str, *arguments: str) -> str:
        ended = self.nox(verb, *arguments, "--yes")
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    def stacks(self) -> dict[str, Any]:
        """Template, resources and time of the last change of every stack, by name."""
        found = {}
        for region in (self.stage.settings.region, self.stage.settings.replica_region):
            cloudformation = self.stage.cloud.client("cloudformation", region=region)
            for page in cloudformation.get_paginator("describe_stacks").paginate():
                for stack in page["Stacks"]:
                    if stack["StackName"].endswith(f"-{SUFFIX}"):
                        name = stack["StackName"]
                        resources = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
                        found[name] = {
                            "changed": str(stack.get("LastUpdatedTime", stack["CreationTime"])),
                            "template": json.dumps(cloudformation.get_template(StackName=name)["TemplateBody"]),
                            "resources": {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in resources},
                            "outputs": {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", ())},
                        }
        return found

    def parameters(self) -> dict[str, str]:
        return self.stage.deployment.parameters()

    def check_interval_seconds(self) -> int:
        groups = self.stage.cloud.client("elbv2").describe_target_groups(Names=[f"target-group-target-{SUFFIX}"])
        return int(groups["TargetGroups"][0]["HealthCheckIntervalSeconds"])


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    directory = tmp_path_factory.mktemp("tiers")
    repository = ReleasingRepository(PROJECT, directory)
    repository.last_releases(*APPS)
    settings = {**DIFFERENCES, "environmentSuffix": SUFFIX}
    (directory / "settings.toml").write_text(
        "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
    )
    project = Project.read(PROJECT, file=directory / "settings.toml")
    ours = repository.needed_by(*APPS)
    assembly = directory / "previous.out"
    with released_python({}, ours, Index(location=str(repository.index))) as python:
        previous = synthesize(project, "*", python=python, directory=assembly)
    with Stage(StageOptions(project=PROJECT, directory=directory, suffix=SUFFIX)) as stage:
        stage.bootstrap()
        cdk = CdkCli(
            project=PROJECT, assembly=assembly, environment=stage.cloud.environment, log=assembly.with_suffix(".log")
        )
        names = [template.stack for template in previous]
        stage.deploy_registries(names, cdk=cdk)
        cdk.deploy([name for name in names if not name.startswith("registry-")])
        accounts = stage.seed(payments=500)
        book = directory / "book.jsonl"
        with stage.load(book, rate=20, accounts=accounts, seed=1, on_status=lambda _: None) as load:
            load.wait(seconds=1.0)
            stage.engine.run("shift", "50", "--bake", "1s")
            yield Deployed(stage, repository, {one.stack: one for one in previous}, directory, load)


def test_every_stack_says_which_release_it_is_made_from(deployed: Deployed) -> None:
    members = Workspace.read(deployed.repository.root).members
    for name, stack in deployed.stacks().items():
        assert stack["outputs"]["PackageVersion"] in {member.version for member in members.values()}, name


def test_a_release_is_deployed_and_taken_back_and_nothing_else_is_touched(deployed: Deployed) -> None:
    stack = f"pm-compute-target-{SUFFIX}"
    old = Workspace.read(deployed.repository.root).members["pm-compute"].version
    before = deployed.stacks()
    assert before[stack]["outputs"]["PackageVersion"] == old
    new = deployed.repository.release_minor("pm-compute", INTERVAL_FILE, INTERVAL, OTHER_INTERVAL)

    shown = deployed.must("deploy", "compute-target", "--version", new)
    assert "HealthCheckIntervalSeconds" in shown  # the difference, before anything was changed
    between = deployed.stacks()
    assert between[stack]["outputs"]["PackageVersion"] == new
    assert deployed.check_interval_seconds() == 6
    assert {name: between[name] for name in before if name != stack} == {
        name: before[name] for name in before if name != stack
    }

    listed = deployed.nox("rollback", "compute-target", "--list").stdout
    assert listed.index(f"pm-compute {old}") < listed.index(f"pm-compute {new}")
    deployed.must("rollback", "compute-target")
    after = deployed.stacks()
    assert deployed.check_interval_seconds() == 5
    assert after[stack]["template"] == before[stack]["template"]
    assert after[stack]["resources"] == before[stack]["resources"]
    assert {name: after[name] for name in before if name != stack} == {
        name: before[name] for name in before if name != stack
    }

    again = deployed.nox("rollback", "compute-target", "--yes")
    assert again.returncode == 1
    assert "compute-target has no earlier deployment" in again.stderr
    assert (now := deployed.load.wait(seconds=0.5)).failed == 0, now.last_failure


def test_a_stack_whose_inputs_are_missing_names_the_tier_to_deploy_first(deployed: Deployed) -> None:
    refused = deployed.nox("deploy", "data-source", "--suffix", "empty", "--yes")
    assert refused.returncode == 1
    assert "which nobody publishes: deploy network-source first" in refused.stderr
    with pytest.raises(ClientError, match="does not exist"):
        deployed.stage.cloud.client("cloudformation").describe_stacks(StackName="pm-data-source-empty")


def test_a_stack_whose_inputs_are_newer_than_it_understands_is_refused(deployed: Deployed) -> None:
    ssm, path = deployed.stage.cloud.client("ssm"), f"/pm/{SUFFIX}/source/network/contract-version"
    ssm.put_parameter(Name=path, Value="2", Type="String", Overwrite=True)
    try:
        refused = deployed.nox("deploy", "data-source", "--yes")
    finally:
        ssm.put_parameter(Name=path, Value="1", Type="String", Overwrite=True)
    assert refused.returncode == 1
    assert "network-source publishes version 2 of its contract, newer than version 1" in refused.stderr


def test_without_an_answer_nothing_is_deployed(deployed: Deployed) -> None:
    before = deployed.stacks()
    refused = deployed.nox("deploy", "traffic-target")
    assert refused.returncode == 2
    assert "give --yes" in refused.stderr
    assert deployed.stacks() == before


def test_consumers_and_producers_of_two_releases_work_together_or_are_refused(deployed: Deployed) -> None:
    """First consumers of the next tree on producers of the release, then the other way round.

    The next tree is the working tree with one more field in the contract of the network, which compute reads.
    """
    following, following_cdk = next_tree(deployed)
    levels = levels_of(deployed.previous)
    refused: set[str] = set()
    for level in reversed(levels):
        problems = {name: unmet(following[name], deployed.parameters()) for name in level}
        for name, found in problems.items():
            if found:
                refused.add(name)
                path = f"/pm/{SUFFIX}/{name.partition('-')[2]}/network/flow-log-group"
                assert found == (
                    f"{name} reads {path}, which nobody publishes: deploy network-{name.partition('-')[2]} first",
                )
        following_cdk.deploy([name for name, found in problems.items() if not found])
    assert refused == {"compute-source", "compute-target"}
    following_cdk.deploy(sorted(refused))

    version = deployed.previous["network-source"].body["Outputs"]["PackageVersion"]["Value"]
    taken = deployed.nox("deploy", "network-source", "--version", version, "--yes")
    assert taken.returncode == 1
    assert f"roll pm-compute-source-{SUFFIX} back first" in taken.stderr
    for level in reversed(levels):
        for name in level:
            assert unmet(deployed.previous[name], deployed.parameters()) == (), name
        deployed.released.deploy(sorted(level))
    assert (now := deployed.load.wait(seconds=0.5)).failed == 0, now.last_failure


def next_tree(deployed: Deployed) -> tuple[dict[str, Template], CdkCli]:
    tree = ReleasingRepository(PROJECT, deployed.directory / "next")
    field, group = (
        "    function_security_group_id: str\n",
        "function_security_group_id=groups.functions.security_group_id,",
    )
    tree.edit("packages/pm-core/src/pm_core/contracts.py", field, f"{field}    flow_log_group: str\n")
    value = 'resource_name("log-group", self._props.environment, self._props.suffix, qualifier="flow-log")'
    tree.edit("packages/pm-network/src/pm_network/network.py", group, f"{group}\n            flow_log_group={value},")
    publish = "        self.publish(service.contract)\n"
    output = '        cdk.CfnOutput(self, "FlowLogs", value=network.flow_log_group)\n'
    tree.edit("apps/stacks/src/pm_stacks/compute.py", publish, f"{publish}{output}")
    assembly = deployed.directory / "next.out"
    project = Project.read(PROJECT, file=deployed.directory / "settings.toml")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", os.pathsep.join(tree.source_path()))
        templates = synthesize(project, "*", python=Path(sys.executable), directory=assembly)
    return {template.stack: template for template in templates}, deployed.cdk(assembly)


def levels_of(templates: dict[str, Template]) -> list[set[str]]:
    """The stacks in the order in which they can be deployed, those together that do not read each other."""
    needs = {
        name: {stack_id(*reversed(address.split("/"))) for address in producers(template)}
        for name, template in templates.items()
    }
    levels: list[set[str]] = []
    while left := set(needs) - {name for level in levels for name in level}:
        levels.append({name for name in left if not needs[name] & left})
    return levels


def test_each_tier_is_destroyed_and_deployed_again_alone_while_the_other_environment_works(deployed: Deployed) -> None:
    deployed.stage.engine.run("shift", "0")
    before = deployed.load.wait(seconds=15)  # TTL and open connections
    mine = [
        name for level in reversed(levels_of(deployed.previous)) for name in sorted(level) if name.endswith("-target")
    ]
    others = {name: stack for name, stack in deployed.stacks().items() if f"-target-{SUFFIX}" not in name}
    for name in mine:
        if name == "network-target":
            refused = deployed.nox("destroy", name, "--yes")
            assert refused.returncode == 1
            assert f"pm-data-target-{SUFFIX}" in refused.stderr
            continue
        deployed.must("destroy", name)
        assert f"pm-{name}-{SUFFIX}" not in deployed.stacks()
        deployed.released.deploy([name])
        if name == "registry-target":
            deployed.stage.push_images()
    assert {name: stack for name, stack in deployed.stacks().items() if f"-target-{SUFFIX}" not in name} == others
    after = deployed.load.stop()
    assert after.failed == 0, after.last_failure
    assert after.acknowledged > before.acknowledged
