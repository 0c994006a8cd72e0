"""`pm`, run as an operator runs it: its own process, its output as JSON."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pm_rehearsal.cloud import inherited_environment
from pm_rehearsal.commands import CommandTooSlowError, follow

VERB_SECONDS = 300.0


class EngineError(RuntimeError):
    """A verb did not end with exit code 0, or answered no JSON; the message is what it printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The end of a verb.

    Attributes:
        exit_code: 0 done, 1 refused or aborted safely, 2 usage, 3 needs a person.
        facts: What it printed with ``--json``; empty when it printed none.
        lines: Everything that it printed.
    """

    exit_code: int
    facts: dict[str, Any]
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The `pm` command against one deployment.

    Attributes:
        suffix: The deployment's environmentSuffix.
        environment: The AWS_* variables of the account, and where PostgreSQL's programs are.
        log: Where everything that `pm` prints is kept.
        evidence: The engine's evidence log.
    """

    suffix: str
    environment: Mapping[str, str] = field(repr=False)
    log: Path
    evidence: Path

    def run(self, verb: str, *arguments: str, on_line: Callable[[str], None] | None = None) -> dict[str, Any]:
        """Run one verb that must succeed.

        Args:
            verb: For example ``cutover``.
            arguments: Its options.
            on_line: Gets each line of progress.

        Returns:
            What it printed with ``--json``.

        Raises:
            EngineError: Its exit code was not 0, it printed no JSON, or it took longer than five minutes.
        """
        answer = self.ask(verb, *arguments, on_line=on_line)
        said = "\n".join(answer.lines[-6:])
        if answer.exit_code:
            raise EngineError(f"pm {verb} ended with exit code {answer.exit_code}: {said}")
        if not answer.facts:
            raise EngineError(f"pm {verb} --json printed no JSON: {said}")
        return answer.facts

    def ask(self, verb: str, *arguments: str, on_line: Callable[[str], None] | None = None) -> Answer:
        """Run one verb, whatever its exit code.

        Raises:
            EngineError: It took longer than five minutes.
        """
        with self.log.open("a") as log:
            log.write(f"$ pm {' '.join((verb, *arguments))}\n")
        try:
            ended = follow(
                [sys.executable, "-m", "pm_cutover", verb, *arguments, "--json"],
                environment={
                    **inherited_environment(),
                    **self.environment,
                    "PM_SUFFIX": self.suffix,
                    "PM_EVIDENCE": str(self.evidence),
                    "NO_COLOR": "1",
                },
                log=self.log,
                deadline_seconds=VERB_SECONDS,
                on_line=None if on_line is None else lambda line: None if line.startswith("{") else on_line(line),
            )
        except CommandTooSlowError as error:
            raise EngineError(f"pm {verb} {error}") from None
        document = next((line for line in reversed(ended.lines) if line.startswith("{")), "{}")
        return Answer(exit_code=ended.exit_code, facts=json.loads(document), lines=ended.lines)
