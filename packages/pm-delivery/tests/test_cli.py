import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def said(*arguments: str) -> tuple[int, str, str]:
    ended = subprocess.run(
        [sys.executable, "-m", "pm_delivery", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    return ended.returncode, ended.stdout, "\n".join(errors)


@pytest.mark.parametrize("verb", ["deploy", "rollback", "destroy"])
@pytest.mark.parametrize("stack", [(), ("data",)])
def test_a_wrong_stack_is_answered_with_those_that_exist(verb: str, stack: tuple[str, ...]) -> None:
    code, _, error = said(verb, *stack)
    assert code == 2
    assert "use one of audit-source, " in error
    assert "data-source" in error


@pytest.mark.parametrize("arguments", [("release", "pm-data", "huge"), ("release",), ("deploy", "--wrong"), ("verb",)])
def test_wrong_arguments_say_where_to_look(arguments: tuple[str, ...]) -> None:
    code, _, error = said(*arguments)
    assert code == 2
    assert "--help" in error


def test_an_unknown_package_is_answered_with_those_that_exist() -> None:
    code, _, error = said("release", "data", "minor")
    assert code == 2
    assert "no package 'data': use one of pm-compute, " in error


@pytest.mark.parametrize("verb", ["deploy", "rollback", "destroy", "release"])
def test_help_shows_an_example(verb: str) -> None:
    code, shown, _ = said(verb, "--help")
    assert code == 0
    assert f"Example: nox -s {verb} --" in " ".join(shown.split())


def test_a_version_without_releases_says_how_to_make_one(tmp_path: Path) -> None:
    code, _, error = said("deploy", "data-source", "--version", "9.9.9", "--index", str(tmp_path))
    assert code == 2
    assert "pm-data 9.9.9 is not in" in error
    assert "(there: none)" in error


def test_everything_and_one_stack_exclude_each_other() -> None:
    code, _, error = said("deploy", "data-source", "--all")
    assert code == 2
    assert "--all" in error
