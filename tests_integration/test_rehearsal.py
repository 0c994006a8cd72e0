"""`pm rehearse` as a user runs it: its outcome, its errors, and that nothing outlives it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pm_rehearsal.cdk import find_project

PROJECT = find_project(Path(__file__))
PM = str(Path(sys.executable).with_name("pm"))
STEP_SECONDS = 240.0
GONE_SECONDS = 30.0


class Rehearsal:
    """A running `pm rehearse`, its output line by line, and every process that it ever had."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        # Not below pytest's own directory, which is closed to the user that PostgreSQL runs as under root.
        self.temporary = Path(tempfile.mkdtemp(prefix="pm-test-"))
        self.temporary.chmod(0o755)
        self.process = subprocess.Popen(
            [PM, "rehearse", "--directory", str(directory / "work"), *arguments],
            cwd=PROJECT,
            env={**os.environ, "TMPDIR": str(self.temporary), "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self.family: dict[int, psutil.Process] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        self.lines.extend(iter((self.process.stdout or sys.stdin).readline, ""))

    def until(self, said: str) -> None:
        deadline = time.monotonic() + STEP_SECONDS
        while not any(said in line for line in self.lines):
            assert self.process.poll() is None, "\n".join(self.lines)
            assert time.monotonic() < deadline, f"{said!r} was not said:\n" + "\n".join(self.lines)
            self.look()
            time.sleep(0.1)
        self.look()

    def look(self) -> None:
        try:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                self.family.setdefault(child.pid, child)
        except psutil.NoSuchProcess:
            return

    def survivors(self) -> list[str]:
        alive = []
        for child in self.family.values():
            try:
                if child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
                    alive.append(" ".join(child.cmdline()) or child.name())
            except psutil.NoSuchProcess:
                continue
        return alive

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        shutil.rmtree(self.temporary, ignore_errors=True)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Rehearsal]]:
    started: list[Rehearsal] = []

    def begin(*arguments: str) -> Rehearsal:
        started.append(Rehearsal(tmp_path, *arguments))
        return started[-1]

    yield begin
    for rehearsal in started:
        rehearsal.end()


def nothing_survives(rehearsal: Rehearsal) -> None:
    deadline = time.monotonic() + GONE_SECONDS
    while survivors := rehearsal.survivors():
        assert time.monotonic() < deadline, survivors
        time.sleep(0.2)


def test_a_short_rehearsal_moves_there_and_back_and_loses_nothing(start: Callable[..., Rehearsal], tmp_path: Path):
    file = tmp_path / "report.json"
    rehearsal = start("--payments", "2000", "--history", "2000", "--json", str(file), "--keep")
    rehearsal.until("Ctrl-C destroys it")
    both_servers_show_the_payments(rehearsal)
    rehearsal.process.send_signal(signal.SIGINT)
    assert rehearsal.process.wait(STEP_SECONDS) == 0, "\n".join(rehearsal.lines)
    report: dict[str, Any] = json.loads(file.read_text())
    assert report["acknowledged"] >= 2000
    assert (report["lost"], report["doubled"], report["failed"]) == (0, 0, 0)
    assert report["ledger_balanced"]
    assert report["databases_equal"]
    assert report["leftovers"] == []
    assert len(report["write_gap_ms"]) == 3
    assert report["baseline_gap_ms"] > 0
    assert {"name", "seconds"} == set(report["steps"][0])
    nothing_survives(rehearsal)
    assert passwords_in(tmp_path / "work") == []


def both_servers_show_the_payments(rehearsal: Rehearsal) -> None:
    """With the very commands that it printed."""
    exports = dict(
        line.removeprefix("export ").strip().split("=", 1) for line in rehearsal.lines if line.startswith("export ")
    )
    commands = [line.split("#")[0].split() for line in rehearsal.lines if "/psql " in line]
    assert len(commands) == 2
    for command in commands:
        count = subprocess.run(
            [*command, "-Atc", "select count(*) >= 4000 from payments"],
            env={**os.environ, **exports},
            capture_output=True,
            text=True,
            check=False,
        )
        assert count.stdout.strip() == "t", count.stderr


def passwords_in(directory: Path) -> list[str]:
    """Files that show a password which the rehearsal used."""
    secrets = {re.split(r"(?<!\\):", line)[4] for line in (directory / "pgpass").read_text().splitlines()}
    secrets = {secret.replace("\\:", ":").replace("\\\\", "\\") for secret in secrets}
    assert all(len(secret) > 20 for secret in secrets)
    return [
        str(file)
        for file in directory.rglob("*")
        if file.is_file()
        and file.name != "pgpass"
        and any(secret in file.read_text(errors="replace") for secret in secrets)
    ]


def test_kill_9_under_load_leaves_no_process(start: Callable[..., Rehearsal]):
    rehearsal = start("--history", "1000")
    rehearsal.until("without a migration")
    assert any("postgres" in line for line in rehearsal.survivors())
    assert any("pm_payments" in line for line in rehearsal.survivors())
    rehearsal.process.kill()
    nothing_survives(rehearsal)


def test_ctrl_c_during_the_deployment_leaves_no_process(start: Callable[..., Rehearsal], tmp_path: Path):
    rehearsal = start()
    rehearsal.until("ok deploy the registries")
    log = tmp_path / "work" / "cdk.log"
    deadline = time.monotonic() + STEP_SECONDS
    while "AWS::RDS::DBInstance" not in log.read_text():  # servers are starting
        assert time.monotonic() < deadline
        time.sleep(0.1)
    rehearsal.look()
    rehearsal.process.send_signal(signal.SIGINT)
    assert rehearsal.process.wait(60) == 130, "\n".join(rehearsal.lines)
    assert any("interrupted: everything that was started is stopped" in line for line in rehearsal.lines)
    assert not any("Traceback" in line for line in rehearsal.lines)
    nothing_survives(rehearsal)
    assert list(rehearsal.temporary.glob("pm-embedded-*")) == []


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


def test_an_occupied_port_is_named(tmp_path: Path):
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
    "arguments", [("--port",), ("--port", "70000"), ("--port", "http"), ("--rate", "0"), ("--payments", "-1")]
)
def test_wrong_options_are_named(arguments: tuple[str, ...], tmp_path: Path):
    code, error = said(PM, "rehearse", "--directory", str(tmp_path), *arguments)
    assert code == 2
    assert len(error.splitlines()) == 1
    assert arguments[0] in error


def test_missing_postgresql_programs_are_named(tmp_path: Path):
    code, error = said(PM, "rehearse", "--directory", str(tmp_path), PM_POSTGRES_BIN=str(tmp_path))
    assert code == 2
    assert one_line(error), error
    assert "PM_POSTGRES_BIN" in error


def test_a_wrong_suffix_is_refused(tmp_path: Path):
    code, error = said(PM, "rehearse", "--suffix", "Not_This", "--directory", str(tmp_path))
    assert code == 2
    assert one_line(error), error
    assert "environmentSuffix" in error


def test_a_directory_without_a_project_is_refused(tmp_path: Path):
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
def test_wrong_settings_are_refused_before_any_template(overrides: dict[str, Any], message: str, tmp_path: Path):
    context = json.dumps({"settings": {"environmentSuffix": "dev", "domain": "payments.internal"} | overrides})
    code, error = said(sys.executable, "apps/synth.py", CDK_CONTEXT_JSON=context, CDK_OUTDIR=str(tmp_path / "out"))
    assert code == 2
    assert one_line(error), error
    assert message in error
    assert list((tmp_path / "out").glob("*.template.json")) == []


def test_a_selection_that_matches_nothing_says_what_exists(tmp_path: Path):
    context = json.dumps(
        {"settings": {"environmentSuffix": "dev", "domain": "payments.internal"}, "only": "data-middle"}
    )
    code, error = said(sys.executable, "apps/synth.py", CDK_CONTEXT_JSON=context, CDK_OUTDIR=str(tmp_path / "out"))
    assert code == 2
    assert one_line(error), error
    assert "data-middle" in error
    assert "data-source" in error
