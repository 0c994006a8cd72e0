"""What a move of the writer came to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pm_cutover.database import Environment

Result = Literal["moved", "completed", "already", "ready", "refused", "aborted", "unfinished"]
Moment = Literal["before", "after"]
Observer = Callable[[str, Moment], None]
"""Called with a step's name before and after it runs. It runs inside the pause: it must be fast and must not raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTiming:
    """How long one step took.

    Attributes:
        name: One of ``protocol.STEP_NAMES``.
        started_at: Unix time in seconds.
        milliseconds: Duration.
    """

    name: str
    started_at: float
    milliseconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of one run of the protocol.

    Attributes:
        result: ``moved``; ``completed`` (an earlier run had opened the new writer, this one did the rest); ``already``
            (nothing to do); ``ready`` (dry run: a move would start now); ``refused`` (nothing changed); ``aborted``
            (the old writer takes writes again); ``unfinished`` (see ``reason``: run again, else a person is needed).
        origin: The database the writer moves from.
        destination: The database the writer moves to.
        epoch: Epoch of the open writer after the run, 0 when it is not known.
        fenced_at: Unix time in seconds just before the fence, None when this run did not fence.
        opened_at: Unix time in seconds just after the new (moved) or old (aborted) writer opened, None as above.
        pause_ms: From the fence until a writer was open again, None as above.
        steps: The steps that ran, in order.
        reason: For refused, aborted, unfinished: what was found, what is allowed, what to do. Else empty.
        remarks: What barred nothing, but should be known.
    """

    result: Result
    origin: Environment
    destination: Environment
    epoch: int
    fenced_at: float | None = None
    opened_at: float | None = None
    pause_ms: float | None = None
    steps: tuple[StepTiming, ...] = ()
    reason: str = ""
    remarks: tuple[str, ...] = ()
