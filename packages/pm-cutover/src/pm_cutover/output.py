"""Where `pm` writes: a terminal or a file, as every program, or a log of frames (PM_OUTPUT=log), in a task."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO

from rich.console import Console

from pm_cutover.errors import UsageError
from pm_cutover.frames import Frame, Kind, lines_of
from pm_cutover.progress import ConsoleProgress, Progress

VARIABLE = "PM_OUTPUT"
LOG = "log"


class LogOutput:
    """Writes frames, each at once and whole.

    Args:
        stream: Where to.

    Attributes:
        out: Takes the place of standard output.
        err: Takes the place of standard error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.out, self.err = FramedStream(self, "out"), FramedStream(self, "err")

    def write(self, kind: Kind, text: str) -> None:
        """Write a text of one or more lines."""
        for line in text.split("\n"):
            self._stream.write("".join(f"{part}\n" for part in lines_of(Frame(kind=kind, text=line))))
        self._stream.flush()

    def end(self, code: int) -> None:
        """Write that this was all, and how it ended."""
        self.finish()
        self.write("end", str(code))

    def finish(self) -> None:
        """Write what waits for the end of its line."""
        self.out.finish()
        self.err.finish()


class FramedStream(io.TextIOBase):
    """Makes a frame of each line that is written to it.

    Attributes:
        log: Where it all goes.
    """

    encoding = "utf-8"

    def __init__(self, log: LogOutput, kind: Kind) -> None:
        self.log = log
        self._kind: Kind = kind
        self._begun = ""

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str, /) -> int:
        """Write every line that is complete; the rest waits for its end."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self.log.write(self._kind, line)
        return len(text)

    def finish(self) -> None:
        """Write what waits for its end."""
        if self._begun:
            self.log.write(self._kind, self._begun)
            self._begun = ""


class LogProgress:
    """Progress as frames: whoever reads the log shows a wait as one line.

    Args:
        log: Where to.
    """

    def __init__(self, log: LogOutput) -> None:
        self._log = log
        self._last_wait = ""

    def step(self, text: str) -> None:
        """Write one line."""
        self._last_wait = ""
        self._log.write("err", text)

    def waiting(self, text: str) -> None:
        """Say how the wait goes, when that is news."""
        if text != self._last_wait:
            self._last_wait = text
            self._log.write("wait", text)


@contextmanager
def output_as_asked() -> Iterator[LogOutput | None]:
    """Standard output and standard error as frames while the block runs, when PM_OUTPUT says so.

    Yields:
        The log, or None when output goes where it always does.

    Raises:
        UsageError: PM_OUTPUT has another value.
    """
    asked = os.environ.get(VARIABLE, "")
    if asked not in ("", LOG):
        raise UsageError(f"{VARIABLE}={asked}: allowed is {LOG}, for output that goes to a log; else leave it unset")
    if not asked:
        yield None
        return
    log = LogOutput(sys.stdout)
    with redirect_stdout(log.out), redirect_stderr(log.err):
        try:
            yield log
        finally:
            log.finish()


def log_of(stream: TextIO) -> LogOutput | None:
    """The log behind standard output or standard error, if there is one."""
    return stream.log if isinstance(stream, FramedStream) else None


def make_progress() -> Progress:
    """What shows progress to whoever reads standard error."""
    log = log_of(sys.stderr)
    return ConsoleProgress() if log is None else LogProgress(log)


def clear_screen() -> None:
    """Empty the screen, if there is one."""
    log = log_of(sys.stdout)
    if log is not None:
        log.write("clear", "")
    elif sys.stdout.isatty():
        Console().clear()
