"""Waiting, never for ever."""

import re
import time
from collections.abc import Callable
from typing import TypeVar

from pm_cutover.errors import RefusedError, UsageError

T = TypeVar("T")
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>ms|s|m|h)?")
_SECONDS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0}


def wait_for(
    what: str,
    probe: Callable[[], T | None],
    *,
    timeout_seconds: float,
    interval_seconds: float = 1.0,
    advice: str,
) -> T:
    """Ask until there is an answer.

    Args:
        what: Named in the error, for example ``replication task load to run``.
        probe: Returns None while the answer is not there yet.
        timeout_seconds: Longest wait.
        interval_seconds: Pause between two questions.
        advice: Said at the end of the error: what to look at, what to do.

    Raises:
        RefusedError: No answer within the time.
    """
    deadline = time.monotonic() + timeout_seconds
    while (answer := probe()) is None:
        if time.monotonic() >= deadline:
            raise RefusedError(f"waited {timeout_seconds:g} s for {what}, in vain: {advice}")
        time.sleep(min(interval_seconds, max(0.0, deadline - time.monotonic())))
    return answer


def parse_duration(text: str) -> float:
    """Seconds of ``500ms``, ``10s``, ``5m``, ``1h`` or ``30`` (seconds).

    Raises:
        UsageError: The text is none of these.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"duration {text!r}: allowed are a number and ms, s, m or h, for example 500ms, 10s, 5m")
    return float(match["number"]) * _SECONDS[match["unit"]]
