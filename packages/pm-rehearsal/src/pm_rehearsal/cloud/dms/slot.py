"""The replication slot that a task reads on its source."""

import time
from dataclasses import dataclass

from pm_rehearsal.cloud.dms.checks import TaskError
from pm_rehearsal.cloud.dms.logins import Connection

PLUGIN = "pgoutput"
UNREAD_SECONDS = 30.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A slot that can be read.

    Attributes:
        name: Its name.
        read: Whether somebody reads it now.
        confirmed: Position up to which everything was taken, for example ``0/1A2B3C``.
    """

    name: str
    read: bool
    confirmed: str


def find(connection: Connection, name: str) -> Slot | None:
    """The slot of this name.

    Raises:
        TaskError: There is one that a task cannot use.
    """
    row = connection.execute(
        "SELECT coalesce(plugin, 'none'), active, confirmed_flush_lsn::text,"
        " coalesce(database = current_database(), false), wal_status"
        " FROM pg_replication_slots WHERE slot_name = %s",
        [name],
    ).fetchone()
    if row is None:
        return None
    plugin, active, confirmed, here, status = row
    if plugin != PLUGIN or not here:
        raise TaskError(
            f'replication slot "{name}" has plugin {plugin}{"" if here else " and is not of this database"}; '
            f"the embedded AWS reads slots of plugin {PLUGIN} in the endpoint's database"
        )
    if status == "lost":
        raise TaskError(f'replication slot "{name}" lost its WAL (max_slot_wal_keep_size): load again')
    return Slot(name=name, read=active, confirmed=confirmed)


def create(connection: Connection, name: str) -> Slot:
    """Make it; waits for the transactions that are open on the server."""
    connection.execute("SELECT pg_create_logical_replication_slot(%s, %s)", [name, PLUGIN])
    slot = find(connection, name)
    if slot is None:
        raise TaskError(f'replication slot "{name}" was dropped while it was being made: start the task again')
    return slot


def check_position(connection: Connection, slot: Slot, position: str, *, published_since: str | None) -> None:
    """Check that the slot still leads to everything that was committed at or after a position.

    Args:
        connection: On the source.
        slot: The slot.
        position: Where the task starts.
        published_since: From where on the task's publication can be read; None when nobody knows.

    Raises:
        TaskError: Changes after the position would be missed, or it lies in the future.
    """
    row = connection.execute(
        "SELECT %(position)s::pg_lsn < %(confirmed)s::pg_lsn,"
        " coalesce(%(position)s::pg_lsn < %(since)s::pg_lsn, true),"
        " %(position)s::pg_lsn > pg_current_wal_insert_lsn(), pg_current_wal_insert_lsn()::text",
        {"position": position, "confirmed": slot.confirmed, "since": published_since},
    ).fetchone()
    gone, unpublished, future, end = row or (True, True, True, "unknown")
    if gone:
        raise TaskError(
            f'start position {position} is before {slot.confirmed}, where replication slot "{slot.name}" stands: '
            "changes in between are gone; load again, or take a later position"
        )
    if unpublished:
        raise TaskError(
            f"start position {position} is before {published_since or 'the publication'}, where the embedded AWS began "
            "to publish the task's tables: start another task between the two databases, then take a later position"
        )
    if future:
        raise TaskError(f"start position {position} is beyond the end of the source's WAL, {end}")


def wait_unread(connection: Connection, name: str) -> None:
    """Wait until nobody reads the slot, or it is gone.

    Raises:
        TaskError: It is still read when the time is up.
    """
    deadline = time.monotonic() + UNREAD_SECONDS
    query = "SELECT FROM pg_replication_slots WHERE slot_name = %s AND active"
    while connection.execute(query, [name]).fetchone() is not None:
        if time.monotonic() > deadline:
            raise TaskError(f'replication slot "{name}" is still being read after {UNREAD_SECONDS:.0f} s')
        time.sleep(_POLL_SECONDS)


def drop(connection: Connection, name: str) -> None:
    """Remove it once nobody reads it; nothing happens when it is gone."""
    wait_unread(connection, name)
    connection.execute(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", [name]
    )
