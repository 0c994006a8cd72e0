"""`pm rehearse` as a user runs it, from an empty account to an empty account."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rehearsals import STEP_SECONDS, Rehearsal, nothing_survives


def test_a_short_rehearsal_moves_there_and_back_and_loses_nothing(
    start: Callable[..., Rehearsal], tmp_path: Path
) -> None:
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
