"""Child processes that never outlive their parent, not even a parent that was killed with SIGKILL."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1


@cache
def _spawner() -> ThreadPoolExecutor:
    # Linux sends the death signal when the *thread* that forked ends: one thread that lives as long as the process.
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: int | None = None,
    stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
    descendants: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a process that gets ``death_signal`` when this one dies.

    Args:
        argv: Program and arguments; nothing secret, every user can read them.
        env: The child's whole environment. Default: this process's.
        cwd: Working directory. Default: this process's.
        user: Numeric user id to run as; needs root. Default: this process's.
        stdin: As for subprocess.Popen; nothing by default.
        stdout: As for subprocess.Popen.
        stderr: As for subprocess.Popen.
        death_signal: Sent by the kernel (Linux) when the parent dies. On other systems a child must watch its
            standard input for end of file.
        descendants: Whether what the child starts itself, however deep, is killed with it when this process dies. One
            more process, :mod:`pm_postgres.session_leader`, then runs it; its exit code tells of a signal as 128 and
            its number. Takes no ``death_signal``.

    Returns:
        The running process, in its own session, so that a terminal's Ctrl-C reaches only the parent, which then ends
        its children in order.

    Raises:
        ValueError: A death signal was given for a child with descendants.
    """
    if descendants:
        if death_signal is not signal.SIGKILL:
            raise ValueError(f"death_signal is {death_signal.name}: a child with descendants is killed")
        argv = [sys.executable, "-I", str(Path(__file__).with_name("session_leader.py")), *argv]
        death_signal = signal.SIGTERM
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None
    parent = os.getpid()

    def before_exec() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, int(death_signal))
            if os.getppid() != parent:  # the parent died before the request was in place
                os.kill(os.getpid(), signal.SIGKILL)

    return (
        _spawner()
        .submit(
            lambda: subprocess.Popen(
                list(argv),
                env=None if env is None else dict(env),
                cwd=cwd,
                user=user,
                group=user,
                extra_groups=[] if user is not None else None,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                preexec_fn=before_exec,
            )
        )
        .result()
    )


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that :func:`spawn` started, with all that it started itself, and wait for it.

    What outlived the process is killed, too, unless it was waited for before: its number can be another's by then.
    """
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    """A TCP port that nobody listens on at 127.0.0.1 at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
