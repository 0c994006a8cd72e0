"""What the protocol needs from whatever moves rows between the databases; DMS on AWS."""

from typing import Protocol

from pm_cutover.database import Database
from pm_cutover.errors import PmError


class ReplicationError(PmError):
    """Replication is not as the protocol needs it: what was found, what to do."""


class DeadEndError(ReplicationError):
    """Rows were lost to a direction for good, so that running again changes nothing."""


class Replication(Protocol):
    """Replication between the two databases, one direction at a time.

    Every method is idempotent, waits no longer than a deadline of the implementation, and raises ReplicationError
    when the deadline passes or the state does not allow the call. ``a`` is where rows come from, ``b`` where they go.
    The direction a -> b reads a slot on ``a``. There is no origin filter: what arrives at ``b`` would be sent back if
    both directions ran at once, therefore the protocol runs one at a time.
    """

    def check_running(self, a: Database, b: Database) -> None:
        """Return when a -> b applies changes and the initial load of every table is complete; raise otherwise."""

    def prepare_slot(self, b: Database) -> None:
        """Make a fresh durable slot on ``b`` for the coming direction b -> a; called before the pause.

        An older slot for that direction that nobody reads is dropped first. Creating a slot waits for the transactions
        that are open on ``b``.
        """

    def discard_slot(self, b: Database) -> None:
        """Drop the slot that ``prepare_slot`` made, when the move did not happen; an unread slot keeps WAL for ever."""

    def stop(self, a: Database, b: Database) -> bool:
        """Stop a -> b, wait until its slot on ``a`` is inactive, then drop that slot: nobody will read it again.

        Returns:
            Whether anything had to be done.
        """

    def start_from(self, b: Database, a: Database, lsn: str) -> bool:
        """Start b -> a with the first change after ``lsn`` (``16/B374D848``), a position in the WAL of ``b``.

        Already running, or stopped after it had once started from there: goes on where it was.

        Returns:
            Whether anything had to be done.
        """
