"""`pm rehearse` as a process, and everything that it starts."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from pm_core.cdk_cli import find_project

PROJECT = find_project(Path(__file__))
PM = str(Path(sys.executable).with_name("pm"))
STEP_SECONDS = 240.0
GONE_SECONDS = 30.0
# What somebody who works with AWS has set; a rehearsal that heeds any of it fails.
OF_A_REAL_ACCOUNT = {"AWS_PROFILE": "production", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}


class Rehearsal:
    """A running `pm rehearse`, its output line by line, and every process that it ever had."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        # Not below pytest's own directory, which is closed to the user that PostgreSQL runs as under root.
        self.temporary = Path(tempfile.mkdtemp(prefix="pm-test-"))
        self.temporary.chmod(0o755)
        self.process = subprocess.Popen(
            [PM, "rehearse", "--directory", str(directory / "work"), *arguments],
            cwd=PROJECT,
            env={**os.environ, **OF_A_REAL_ACCOUNT, "TMPDIR": str(self.temporary), "COLUMNS": "200"},
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


def nothing_survives(rehearsal: Rehearsal, *, seconds: float = GONE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while survivors := rehearsal.survivors():
        assert time.monotonic() < deadline, survivors
        time.sleep(0.2)
