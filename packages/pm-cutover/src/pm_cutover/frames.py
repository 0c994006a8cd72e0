"""One log, several streams: how a line of a log says what it is.

A task has one log. Its driver would mix standard output with standard error, drop empty lines and cut long ones, so
that nobody could tell the answer from the progress. A frame is one log line, ``<kind>: <text>``, or ``<kind>+ <text>``
when the next frame continues the text; a person can read it, and ``pm --remote`` makes the streams of it again.

Source: the log drivers of containers cut lines at 16 KiB.
"""

import re
from dataclasses import dataclass
from typing import Literal, cast, get_args

Kind = Literal["out", "err", "wait", "clear", "evidence", "end"]
"""Standard output; standard error; a wait that goes on, which replaces what was said of it before; an empty screen; a
line of the evidence log; the last line, whose text is the exit code."""

# At most four bytes each: well below 16 KiB.
CHUNK_CHARACTERS = 3000
_FRAME = re.compile(rf"(?P<kind>{'|'.join(get_args(Kind))})(?P<more>[:+]) ?(?P<text>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One line of one stream.

    Attributes:
        kind: Which stream.
        text: The line, without its end.
    """

    kind: Kind
    text: str


def lines_of(frame: Frame) -> list[str]:
    """The log lines that carry a frame, at least one."""
    chunks = [frame.text[start : start + CHUNK_CHARACTERS] for start in range(0, len(frame.text), CHUNK_CHARACTERS)]
    *begun, last = chunks or [""]
    return [*(f"{frame.kind}+ {chunk}" for chunk in begun), f"{frame.kind}: {last}"]


class FrameReader:
    """Puts the frames of one log together again."""

    def __init__(self) -> None:
        self._kind: str | None = None
        self._begun = ""

    def read(self, line: str) -> list[Frame]:
        """The frames that a log line completes.

        A line that is no frame was written past `pm`, by its interpreter or by the system: it belongs to ``err``. A
        text whose end was lost comes out as far as it is known.
        """
        match = _FRAME.fullmatch(line)
        kind, more, text = (match["kind"], match["more"], match["text"]) if match else ("err", ":", line)
        lost = [] if self._kind in (None, kind) else self.rest()
        if more == "+":
            self._kind, self._begun = kind, self._begun + text
            return lost
        whole = Frame(kind=cast("Kind", kind), text=self._begun + text)
        self._kind, self._begun = None, ""
        return [*lost, whole]

    def rest(self) -> list[Frame]:
        """What was begun and never ended."""
        if self._kind is None:
            return []
        begun = Frame(kind=cast("Kind", self._kind), text=self._begun)
        self._kind, self._begun = None, ""
        return [begun]
