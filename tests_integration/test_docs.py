"""Links, anchors and commands in the documentation lead somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pm_core.cdk_cli import cdk_command, find_project

PROJECT = find_project(Path(__file__))
PAGES = [
    PROJECT / "README.md",
    *sorted((PROJECT / "docs").rglob("*.md")),
    *sorted(PROJECT.glob("packages/*/README.md")),
    *sorted(PROJECT.glob("apps/*/README.md")),
]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """As the usual forges make them from headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert target.is_relative_to(PROJECT), f"{page.name}: {link} leads out of the repository"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"


@pytest.fixture(scope="module")
def sessions() -> set[str]:
    listed = subprocess.run(
        [sys.executable, "-m", "nox", "-l"], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout
    found = re.findall(r"^[*-] ([\w-]+)", listed, flags=re.MULTILINE)
    assert {"deploy", "rollback", "release", "tests-pm-core"} <= set(found)
    return set(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_sessions_that_a_page_names_exist(page: Path, sessions: set[str]) -> None:
    assert set(re.findall(r"nox -s ([\w-]+)", page.read_text())) <= sessions


@pytest.fixture(scope="module")
def verbs() -> set[str]:
    shown = subprocess.run(
        [sys.executable, "-m", "pm_cutover", "--help"], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout
    found = set(re.findall(r"^. (\w+)  ", shown, flags=re.MULTILINE))
    assert {"cutover", "rehearse"} <= found
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_verbs_that_a_page_names_exist(page: Path, verbs: set[str]) -> None:
    code = re.findall(r"`([^`\n]+)`|^(?:uv run )?(pm [a-z].*)$", page.read_text(), flags=re.MULTILINE)
    commands = [text for pair in code for text in pair]
    assert {verb for one in commands for verb in re.findall(r"(?:^|&& )(?:uv run )?pm ([a-z]+)\b", one)} <= verbs


def test_the_cdk_cli_s_telemetry_is_off() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "CDK_DISABLE_CLI_TELEMETRY"}
    command = (*cdk_command(), "cli-telemetry", "--status")
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True)
    assert "CLI Telemetry is disabled" in done.stdout + done.stderr
