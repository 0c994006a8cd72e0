"""The evidence log: what the engine saw and decided, one JSON object a line, appended and never rewritten.

Written line by line to a file, so that a killed engine leaves all that it knew; what one run wrote is also put into the
target's transaction log bucket, from where it is replicated to the audit replica.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pm_cutover.errors import UsageError

Value = str | int | float | bool | None | list["Value"] | dict[str, "Value"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceLog:
    """Appends to one file.

    Attributes:
        path: The file; made when missing, its directory must exist.
        verb: The `pm` command that runs.
        suffix: The environment suffix of the deployment.
        echo: Gets each line as well, where the file goes with whatever wrote it.
        lines: What this run wrote, oldest first, without line ends.
    """

    path: Path
    verb: str
    suffix: str
    echo: Callable[[str], None] | None = None
    lines: list[str] = field(default_factory=list)

    def record(self, what: str, facts: Mapping[str, Value] | None = None) -> None:
        """Append one line: ``time`` (UTC), ``suffix``, ``verb``, ``what`` and the facts; never a secret.

        Durable when this returns.

        Raises:
            UsageError: The file cannot be written.
        """
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "suffix": self.suffix,
            "verb": self.verb,
            "what": what,
            **(facts or {}),
        }
        text = json.dumps(line)
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UsageError(
                f"evidence file {self.path} cannot be written ({error.strerror}): name another one with --evidence FILE"
            ) from error
        self.lines.append(text)
        if self.echo is not None:
            self.echo(text)
