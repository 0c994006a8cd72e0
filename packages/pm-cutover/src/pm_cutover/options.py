"""The options that every verb has."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

COMMON = Group("Common options", sort_key=10)


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which deployment, and how to answer.

    Attributes:
        suffix: The deployment's environmentSuffix.
        json: Print one JSON object on standard output instead of text; progress stays on standard error.
        remote: Run it as a task inside the target's network, where both databases are reached; what it says comes
            here, and so does its exit code. `pm --remote VERB` is the same.
        evidence: File to which evidence is appended, a JSON object a line. Default: ./pm-evidence-SUFFIX.jsonl. A task
            records to the target's log bucket alone.
    """

    suffix: Annotated[str, Parameter(env_var="PM_SUFFIX", group=COMMON, show_default=False)] = ""
    json: Annotated[bool, Parameter(negative="", group=COMMON)] = False
    remote: Annotated[bool, Parameter(negative="", group=COMMON)] = False
    evidence: Annotated[Path | None, Parameter(env_var="PM_EVIDENCE", group=COMMON)] = None
