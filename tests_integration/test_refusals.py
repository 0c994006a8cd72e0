"""What `pm rehearse` and the apps refuse before they do anything, and how they say it."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rehearsals import PM, PROJECT


def said(*arguments: str, cwd: Path = PROJECT, **variables: str) -> tuple[int, str]:
    """Exit code and standard error of a command that must fail early."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # the workspace's Node comes first
    ended = subprocess.run(
        arguments,
        cwd=cwd,
        env={**os.environ, "PATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return ended.returncode, ended.stderr.strip()


def one_line(text: str) -> bool:
    return len(text.splitlines()) == 1 and text.startswith("error: ")


def test_an_occupied_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        code, error = said(PM, "rehearse", "--port", str(port), "--directory", str(tmp_path))
    assert code == 2
    assert one_line(error), error
    assert str(port) in error
    assert "--port" in error


@pytest.mark.parametrize(
    "arguments",
    [
        ("--port",),
        ("--port", "70000"),
        ("--port", "http"),
        ("--rate", "0"),
        ("--payments", "-1"),
        ("--replication-lag", "30"),
    ],
)
def test_wrong_options_are_named(arguments: tuple[str, ...], tmp_path: Path) -> None:
    code, error = said(PM, "rehearse", "--directory", str(tmp_path), *arguments)
    assert code == 2
    assert len(error.splitlines()) == 1
    assert arguments[0] in error


def test_missing_postgresql_programs_are_named(tmp_path: Path) -> None:
    code, error = said(PM, "rehearse", "--directory", str(tmp_path), PM_POSTGRES_BIN=str(tmp_path))
    assert code == 2
    assert one_line(error), error
    assert "PM_POSTGRES_BIN" in error


def test_a_wrong_suffix_is_refused(tmp_path: Path) -> None:
    code, error = said(PM, "rehearse", "--suffix", "Not_This", "--directory", str(tmp_path))
    assert code == 2
    assert one_line(error), error
    assert "environmentSuffix" in error


def test_a_directory_without_a_project_is_refused(tmp_path: Path) -> None:
    code, error = said(PM, "rehearse", "--directory", str(tmp_path / "work"), cwd=tmp_path)
    assert code == 2
    assert one_line(error), error
    assert "cdk.json" in error


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"environmentSuffix": "Bad"}, "settings.environmentSuffix: 'Bad'"),
        ({"target": {"cidr": "10.10.0.0/16"}}, "overlap"),
        ({"replicaRegion": "us-east-1"}, "must differ from region"),
        ({"tables": ["payments"]}, "schema.table"),
        ({"domain": "pay.example.com"}, "reserved for documentation"),
    ],
)
def test_wrong_settings_are_refused_before_any_template(
    overrides: dict[str, Any], message: str, tmp_path: Path
) -> None:
    context = json.dumps({"settings": {"environmentSuffix": "dev", "domain": "payments.internal"} | overrides})
    code, error = said(sys.executable, "-m", "pm_stacks", CDK_CONTEXT_JSON=context, CDK_OUTDIR=str(tmp_path / "out"))
    assert code == 2
    assert one_line(error), error
    assert message in error
    assert list((tmp_path / "out").glob("*.template.json")) == []


def test_a_selection_that_matches_nothing_says_what_exists(tmp_path: Path) -> None:
    context = json.dumps(
        {"settings": {"environmentSuffix": "dev", "domain": "payments.internal"}, "only": "data-middle"}
    )
    code, error = said(sys.executable, "-m", "pm_stacks", CDK_CONTEXT_JSON=context, CDK_OUTDIR=str(tmp_path / "out"))
    assert code == 2
    assert one_line(error), error
    assert "data-middle" in error
    assert "data-source" in error
