"""`pm` as a process: what it says and how it ends."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pm_cutover.cli import main


@dataclass(frozen=True)
class Ended:
    """How `pm` ended and what it said."""

    code: int
    out: str
    err: str


Pm = Callable[..., Ended]


@pytest.fixture
def pm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Pm:
    """Runs `pm` in this process, without the settings of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "PM_")):
            monkeypatch.delenv(name)
    for name, value in {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull, "COLUMNS": "200"}.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, **environment: str) -> Ended:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["pm", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Ended(int(str(ended.value.code)), said.out, said.err)

    return run


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["shift"], {}, "STEPS"),
        (["shift", "5", "--bake", "soon"], {}, "duration 'soon'"),
        (["shift", "5", "--bak", "5m"], {}, "--bak"),
        (["fly"], {}, "fly"),
        (["status"], {}, "give --suffix SUFFIX or set PM_SUFFIX"),
        (["status"], {"PM_SUFFIX": "blue"}, "set AWS_REGION"),
        (["status"], {"PM_SUFFIX": "blue", "PM_OUTPUT": "xml"}, "PM_OUTPUT=xml"),
        (["--remote"], {}, "pm --remote status"),
        (["--remote", "fly"], {}, "fly"),
        (["--remote", "shift"], {}, "STEPS"),
        (["--remote", "status"], {}, "give --suffix SUFFIX or set PM_SUFFIX"),
        (
            ["--remote", "status", "--evidence", "file"],
            {"PM_SUFFIX": "blue"},
            "--evidence names a file on this machine",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    pm: Pm, arguments: list[str], environment: dict[str, str], words: str
) -> None:
    result = pm(*arguments, **environment)
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert result.err.startswith("pm: ")
    assert words.lower() in result.err.lower()
    assert result.out == ""


def test_an_unreachable_aws_is_one_line_and_exit_code_1(pm: Pm, tmp_path: Path) -> None:
    result = pm(
        *("cutover", "--suffix", "blue", "--json", "--evidence", str(tmp_path / "evidence")),
        AWS_REGION="us-east-1",
        AWS_ENDPOINT_URL="http://127.0.0.1:1",
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
    )
    assert result.code == 1
    assert result.err.count("\n") == 1
    assert "AWS did not answer" in result.err
    assert json.loads(result.out)["exit_code"] == 1


def test_help_teaches_the_order(pm: Pm) -> None:
    text = pm("--help").out
    order = [text.index(f" {verb} ", text.index("Look")) for verb in ("preflight", "verify", "replicate", "shift")]
    assert order == sorted(order)
    assert "0 done, 1 refused or aborted safely, 2 usage, 3 needs a person" in text
    assert "pm --remote VERB" in text


@pytest.mark.parametrize("arguments", [["--remote", "--help"], ["--help"]])
def test_help_is_given_here(pm: Pm, arguments: list[str]) -> None:
    assert "Move (in this order)" in pm(*arguments).out


@pytest.mark.parametrize(
    "verb", ["preflight", "replicate", "status", "verify", "shift", "cutover", "rollback", "finish"]
)
def test_every_verb_shows_an_example(pm: Pm, verb: str) -> None:
    assert "Example: pm" in pm(verb, "--help").out


def test_pm_runs_as_a_module() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pm_cutover", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.strip()
