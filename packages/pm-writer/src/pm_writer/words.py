"""Which candidate is the writer: the rule, without I/O.

Invariant: a choice here never makes a write safe. The database does (``pm_control.admit`` and the fence triggers); a
choice that is out of date costs one refused attempt.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass


class State(enum.Enum):
    """What one candidate said about itself."""

    OPEN = "open"
    FENCED = "fenced"
    SEALED = "sealed"
    UNFENCED = "unfenced"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One candidate's state at one moment.

    Attributes:
        state: What it said.
        epoch: Epoch of its fence word; None when it has none or did not answer.
        reason: Why it did not answer; empty when it did.
    """

    state: State
    epoch: int | None = None
    reason: str = ""

    @classmethod
    def of_word(cls, word: int) -> "Reading":
        """The reading that a fence word (``epoch * 10 + state``) stands for.

        Raises:
            ValueError: The word's state is none of 0 (open), 1 (fenced), 2 (sealed).
        """
        states = (State.OPEN, State.FENCED, State.SEALED)
        epoch, state = divmod(word, 10)
        if epoch < 0 or state >= len(states):
            raise ValueError(f"fence word {word} is not epoch * 10 + state with state 0, 1 or 2")
        return cls(state=states[state], epoch=epoch)

    def __str__(self) -> str:
        if self.state is State.UNREACHABLE:
            return f"unreachable ({self.reason})" if self.reason else "unreachable"
        return self.state.value if self.epoch is None else f"{self.state.value} at epoch {self.epoch}"


UNKNOWN = Reading(state=State.UNREACHABLE, reason="no answer yet")


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterView:
    """The candidate that takes writes.

    Attributes:
        name: The candidate's name.
        epoch: The epoch at which it is open; None when it has no fence (before ``pm replicate``, after ``pm finish``).
    """

    name: str
    epoch: int | None


def choose(readings: Sequence[tuple[str, Reading]]) -> WriterView | None:
    """The writer among the candidates, given in their order; None when there is none now.

    An open candidate wins, the highest epoch first. When none is open, the first candidate without a fence is the
    writer, provided that each candidate before it is known to be sealed: an unreachable source must not make an
    unfenced target the writer.
    """
    is_open = [(reading.epoch, name) for name, reading in readings if reading.state is State.OPEN]
    if is_open:
        epoch, name = max(is_open, key=lambda one: one[0] or 0)
        return WriterView(name=name, epoch=epoch)
    for name, reading in readings:
        if reading.state is State.UNFENCED:
            return WriterView(name=name, epoch=None)
        if reading.state is not State.SEALED:
            return None
    return None
