"""What the operator sees while a command works: lines on standard error, so that standard output stays the result."""

from typing import Protocol

from rich.console import Console


class Progress(Protocol):
    """Told about each thing that happens, in plain words."""

    def step(self, text: str) -> None:
        """Something was done or decided."""

    def waiting(self, text: str) -> None:
        """The same wait goes on; ``text`` replaces what was said about it before."""


class ConsoleProgress:
    """Writes to standard error; a wait is one line that is rewritten on a terminal and said once elsewhere.

    Args:
        console: Where to write. Default: standard error.
    """

    def __init__(self, *, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._open_line = False
        self._last_wait = ""

    def step(self, text: str) -> None:
        """Write one line."""
        self._end_line()
        self._console.print(text, markup=False)

    def waiting(self, text: str) -> None:
        """Rewrite the line of the wait."""
        if text == self._last_wait:
            return
        self._last_wait = text
        if self._console.is_terminal:
            self._console.file.write(f"\r\x1b[2K{text}")
            self._console.file.flush()
            self._open_line = True
        else:
            self._console.print(text, markup=False)

    def _end_line(self) -> None:
        if self._open_line:
            self._console.file.write("\n")
            self._open_line = False
        self._last_wait = ""
