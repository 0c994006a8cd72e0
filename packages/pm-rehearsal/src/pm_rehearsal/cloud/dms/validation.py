"""Row counts of both sides, compared while rows move: the embedded AWS's stand-in for DMS data validation."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from pm_rehearsal.cloud.dms.logins import Connection
from pm_rehearsal.cloud.dms.mappings import Table

NOT_ENABLED, PENDING, VALIDATED, MISMATCHED = "Not enabled", "Pending records", "Validated", "Mismatched records"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The source's rows at one moment.

    Attributes:
        rows: By table.
        position: Once the target has confirmed this WAL position, all of them have arrived.
    """

    rows: dict[Table, int]
    position: int


def count(connection: Connection, tables: Sequence[Table]) -> dict[Table, int]:
    """Rows of each table."""
    counts = {}
    for table in tables:
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*table))).fetchone()
        counts[table] = int(row[0]) if row else 0
    return counts


def count_source(connection: Connection, tables: Sequence[Table]) -> Counts:
    """Rows of each table of the source, and the position that covers them."""
    rows = count(connection, tables)
    position = connection.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").fetchone()
    return Counts(rows=rows, position=int(position[0]) if position else 0)


def mismatched(before: int, target: int, after: int) -> int:
    """How many rows are too few or too many on the target.

    Args:
        before: The source's rows, all of which had arrived when the target was counted.
        target: The target's rows.
        after: The source's rows after the target was counted.
    """
    low, high = sorted((before, after))
    return max(low - target, target - high, 0)
