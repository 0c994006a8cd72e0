"""Which database is the writer, read off the two fence words; pure."""

from dataclasses import dataclass
from typing import Literal

from pm_cutover.errors import PersonNeededError

OPEN, FENCED, SEALED = 0, 1, 2
_STATES = {OPEN: "open", FENCED: "fenced", SEALED: "sealed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What two fence words mean while nobody else may move them.

    Attributes:
        writer: The one of the two that is, or becomes again, the writer: the higher epoch.
        epoch: Its epoch.
        interrupted: An engine died after it had fenced or sealed the writer and before it opened the other one.
    """

    writer: Literal["a", "b"]
    epoch: int
    interrupted: bool


def decide(word_a: int, word_b: int) -> Situation:
    """Who is the writer.

    The protocol opens a database at epoch e + 1 only after the other was sealed at e. Hence epochs differ, the lower
    one is sealed, and a writer that is not open was left so by a dead engine before the other one opened.

    Raises:
        PersonNeededError: The words cannot come from the protocol.
    """
    (epoch_a, state_a), (epoch_b, state_b) = divmod(word_a, 10), divmod(word_b, 10)
    words = f"epoch {epoch_a} {_STATES.get(state_a, '?')}, the other epoch {epoch_b} {_STATES.get(state_b, '?')}"
    if epoch_a == epoch_b or state_a not in _STATES or state_b not in _STATES:
        raise PersonNeededError(
            f"the fence words are out of order (one database {words}): exactly one may have the higher epoch; "
            "compare the data of both, then set the sequence pm_control.fence of the one that is not the writer"
        )
    writer: Literal["a", "b"] = "a" if epoch_a > epoch_b else "b"
    epoch, state, other = (epoch_a, state_a, state_b) if writer == "a" else (epoch_b, state_b, state_a)
    if other != SEALED:
        raise PersonNeededError(
            f"the fence words are out of order (one database {words}): the one with the lower epoch must be sealed; "
            "somebody moved it by hand: compare the data of both before anything else"
        )
    return Situation(writer=writer, epoch=epoch, interrupted=state != OPEN)
