"""The README's commands, as a newcomer types them, against the embedded AWS."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pm_core.cdk_cli import find_project
from pm_rehearsal.cloud import EmbeddedCloud, inherited_environment

PROJECT = find_project(Path(__file__))
README = (PROJECT / "README.md").read_text()
COMMANDS = set(re.findall(r"uv run [^`\n]+", README))

# Run by CI itself, by test_rehearsal.py with a smaller load, or stack by stack by the rehearsal.
RUN_ELSEWHERE = {"uv run nox", "uv run pm rehearse", "uv run cdk deploy --all"}


@pytest.fixture(scope="module")
def cloud() -> Iterator[EmbeddedCloud]:
    with EmbeddedCloud() as running:
        yield running


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of its own, so that its cdk.out disturbs nobody's."""
    directory = tmp_path_factory.mktemp("project")
    shutil.copy(PROJECT / "cdk.json", directory)
    (directory / "apps").symlink_to(PROJECT / "apps")
    return directory


def run(cloud: EmbeddedCloud, project: Path, command: str) -> subprocess.CompletedProcess[str]:
    assert command in COMMANDS, f"the README does not say `{command}`"
    typed = command.removeprefix("uv run ").replace("<account>", cloud.account)
    environment = {"CDK_REQUIRE_APPROVAL": "never", "CDK_FORCE": "true", "CDK_NOTICES": "false"}
    return subprocess.run(
        [str(Path(sys.executable).with_name(typed.split()[0])), *typed.split()[1:]],
        cwd=project,
        env={**inherited_environment(), **cloud.environment, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_every_command_is_run_by_a_test_or_by_ci() -> None:
    source = Path(__file__).read_text()
    assert {command for command in COMMANDS if f'"{command}"' not in source} == set()
    assert COMMANDS >= RUN_ELSEWHERE


def test_the_rehearsal_explains_itself(cloud: EmbeddedCloud, project: Path) -> None:
    shown = run(cloud, project, "uv run pm rehearse --help")
    assert shown.returncode == 0
    assert "--keep" in shown.stdout


def test_the_commands_of_a_deployment_work_in_their_order(cloud: EmbeddedCloud, project: Path) -> None:
    bootstrapped = run(cloud, project, "uv run cdk bootstrap aws://<account>/us-east-1 aws://<account>/us-west-2")
    assert bootstrapped.returncode == 0, bootstrapped.stderr
    synthesized = run(cloud, project, "uv run cdk synth --quiet")
    assert synthesized.returncode == 0, synthesized.stderr
    early = run(cloud, PROJECT, "uv run nox -s deploy -- data-source")
    assert early.returncode != 0
    assert "deploy network-source first" in early.stdout + early.stderr
    registries = run(cloud, project, "uv run cdk deploy registry-source registry-target zone")
    assert registries.returncode == 0, registries.stderr
    assert repositories(cloud) == {
        "repository-payments-source-dev",
        "repository-payments-target-dev",
        "repository-operator-target-dev",
    }
    destroyed = run(cloud, project, "uv run cdk destroy --all")
    assert destroyed.returncode == 0, destroyed.stderr
    assert repositories(cloud) == set()


def repositories(cloud: EmbeddedCloud) -> set[str]:
    found = cloud.client("ecr").describe_repositories()["repositories"]
    return {one["repositoryName"] for one in found if one["repositoryName"].startswith("repository-")}
