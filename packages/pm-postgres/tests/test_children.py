"""What ends with a process that was spawned."""

import subprocess
import time

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
