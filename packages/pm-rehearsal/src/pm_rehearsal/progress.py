"""What a rehearsal shows while it runs: one line per finished step, and what is going on now."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from pm_rehearsal.report import StepTime


class Progress:
    """Steps with their durations, on a console; on a terminal also a moving line with the latest detail.

    Args:
        console: Where to write.

    Attributes:
        steps: Every finished step.
    """

    def __init__(self, console: Console) -> None:
        self.steps: list[StepTime] = []
        self._console = console
        self._started = time.monotonic()
        self._status: Status | None = None
        self._name = ""
        self._load = ""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step; its line is printed when it ends, also when it fails."""
        begun = time.monotonic()
        self._name = name
        passed = False
        try:
            with self._console.status(escape(name)) as self._status:
                yield
            passed = True
        finally:
            self._status = None
            seconds = time.monotonic() - begun
            self.steps.append(StepTime(name=name, seconds=round(seconds, 3)))
            mark = "[green]ok[/]" if passed else "[red]failed[/]"
            at = time.monotonic() - self._started
            load = f"  [dim]{escape(self._load)}[/]" if self._load else ""
            self._console.print(
                f"{at:7.1f} s  {mark:<6} {escape(name)} ({seconds:.1f} s){load}", highlight=False, soft_wrap=True
            )

    def detail(self, text: str) -> None:
        """What the current step is doing."""
        if self._status is not None:
            self._status.update(
                escape(f"{self._name}: {text.strip()[:100]}{'  | ' + self._load if self._load else ''}")
            )

    def load(self, text: str) -> None:
        """The load generator's latest figures, shown beside every step."""
        self._load = text

    def say(self, text: str) -> None:
        """One line about the step that is running."""
        self._console.print(f"{'':12}{escape(text)}", highlight=False)
