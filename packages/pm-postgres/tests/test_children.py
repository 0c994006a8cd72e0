"""What ends with a process that was spawned."""

import os
import signal
import subprocess
import sys
import time

import pytest

from pm_postgres import kill_session, spawn


def test_what_a_child_started_is_killed_with_it() -> None:
    shell = spawn(["sh", "-c", "echo begun; sleep 60 & wait"], stdout=subprocess.PIPE)
    assert shell.stdout is not None
    assert shell.stdout.readline() == b"begun\n"
    began = time.monotonic()
    kill_session(shell)
    # The pipe ends with the last process that holds it.
    assert shell.stdout.read() == b""
    assert time.monotonic() - began < 30.0
    assert shell.returncode == -9
    kill_session(shell)


def test_what_outlived_a_child_is_killed() -> None:
    shell = spawn(["sh", "-c", "sleep 60 & exit 5"], stdout=subprocess.PIPE)
    os.waitid(os.P_PID, shell.pid, os.WEXITED | os.WNOWAIT)
    began = time.monotonic()
    kill_session(shell)
    assert shell.stdout is not None
    assert shell.stdout.read() == b""
    assert time.monotonic() - began < 30.0
    assert shell.returncode == 5


def test_what_a_child_started_is_killed_with_its_killed_parent() -> None:
    program = """
from pm_postgres import spawn
spawn(["sh", "-c", "sleep 60 & echo begun; wait"], descendants=True).wait()
"""
    parent = spawn([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"begun\n"
    began = time.monotonic()
    parent.kill()
    assert parent.stdout.read() == b""
    assert time.monotonic() - began < 30.0
    parent.wait()


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -TERM $$", 143)])
def test_a_child_with_descendants_ends_with_its_own_exit_code(script: str, code: int) -> None:
    assert spawn(["sh", "-c", script], descendants=True).wait() == code


def test_a_child_with_descendants_takes_no_death_signal() -> None:
    with pytest.raises(ValueError, match="death_signal is SIGQUIT"):
        spawn(["true"], descendants=True, death_signal=signal.SIGQUIT)
