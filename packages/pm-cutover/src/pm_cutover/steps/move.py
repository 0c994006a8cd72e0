"""What one run of the protocol knows: the two databases, its sessions, and what its steps have found so far."""

from dataclasses import dataclass, field

from pm_cutover.database import Database
from pm_cutover.replication import Replication
from pm_cutover.steps.limits import Limits
from pm_cutover.steps.sequences import SequenceCopy, SequenceValues
from pm_cutover.steps.sessions import Sessions


@dataclass(slots=True, kw_only=True)
class Move:
    """A move of the writer from ``a`` to ``b``. Its steps fill in what follows ``limits``.

    Attributes:
        a: Where the writer is.
        b: Where it goes.
        replication: Moves rows, in either direction.
        limits: Deadlines.
        epoch: The epoch at which ``a`` is the writer; ``b`` opens at the next.
        b_is_writer: Whether ``b`` is known to be the writer.
        open_sent: Whether ``b`` may have been opened by this run: from then on only ``b`` itself knows.
        changed: Whether a step after the opening found something left to do.
        remarks: What bars nothing, but should be known.
    """

    a: Database
    b: Database
    replication: Replication
    limits: Limits
    epoch: int = 0
    b_is_writer: bool = False
    open_sent: bool = False
    changed: bool = False
    remarks: list[str] = field(default_factory=list)
    held: Sessions | None = None
    copy: SequenceCopy | None = None
    positions: SequenceValues | None = None

    @property
    def sessions(self) -> Sessions:
        """The sessions that hold the engine lock."""
        if self.held is None:
            raise RuntimeError("the step lock has not run")
        return self.held

    @property
    def sequences(self) -> SequenceCopy:
        """How to carry the sequences over."""
        if self.copy is None:
            raise RuntimeError("the step preflight has not run")
        return self.copy

    def close(self) -> None:
        """End every session."""
        if self.held is not None:
            self.held.close()
            self.held = None
