"""Commands whose output is followed line by line, kept, and ended at a deadline."""

import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pm_postgres import kill_session, spawn


class CommandTooSlowError(RuntimeError):
    """A command did not end within its deadline, and was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended.

    Attributes:
        exit_code: Its own; 128 and the signal's number when it was killed.
        lines: What it printed, on standard output and standard error.
    """

    exit_code: int
    lines: tuple[str, ...]


def follow(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    deadline_seconds: float,
    directory: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Ended:
    """Run a command to its end; it and whatever it starts die with this process, or when this function is left.

    Args:
        command: Its argv.
        environment: All of its variables.
        log: Gets what it prints, appended.
        deadline_seconds: Longest run, whether it prints or not.
        directory: Where it runs. Default: this process's.
        on_line: Gets each line that is not blank, at once.

    Raises:
        CommandTooSlowError: It took longer.
    """
    lines: list[str] = []
    late = threading.Event()
    process = spawn(
        command,
        env=environment,
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        descendants=True,
    )

    def end() -> None:
        late.set()
        kill_session(process)

    timer = threading.Timer(deadline_seconds, end)
    timer.start()
    try:
        with log.open("a") as file:
            for raw in process.stdout or ():
                line = raw.decode(errors="replace").rstrip()
                file.write(line + "\n")
                lines.append(line)
                if on_line is not None and line.strip():
                    on_line(line)
        code = process.wait()
    finally:
        timer.cancel()
        kill_session(process)
    if late.is_set():
        raise CommandTooSlowError(f"took longer than {deadline_seconds:.0f} s and was killed: see {log}")
    return Ended(exit_code=code, lines=tuple(lines))
