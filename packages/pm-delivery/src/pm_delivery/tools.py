"""Command-line tools that do their work quietly: what they print is their answer, or why they failed."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pm_delivery.errors import DeliveryError

DEADLINE_SECONDS = 600.0


class ToolError(DeliveryError):
    """A tool failed, or did not end in time; the message is its own."""


def output_of(
    tool: str,
    command: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str] | None = None,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> str:
    """Run a tool.

    Args:
        tool: What messages call it.
        command: Its argv.
        directory: Where it runs.
        environment: All of its variables. Default: this process's.
        deadline_seconds: Longest run.

    Returns:
        What it printed, without the line end.

    Raises:
        ToolError: It ended with another code than 0, or not within the deadline.
    """
    try:
        ended = subprocess.run(
            command,
            cwd=directory,
            env=os.environ if environment is None else environment,
            capture_output=True,
            text=True,
            timeout=deadline_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ToolError(f"{tool} took longer than {deadline_seconds:.0f} s and was ended: run again") from None
    if ended.returncode:
        raise ToolError(f"{tool}: {ended.stderr.strip() or ended.stdout.strip()}")
    return ended.stdout.strip()
