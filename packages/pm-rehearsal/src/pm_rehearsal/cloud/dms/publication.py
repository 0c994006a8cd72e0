"""The publication of a task on its source.

PostgreSQL reads a publication as it was at the WAL position that is being decoded: a change from before the publication
existed is skipped. DMS on AWS reads through ``test_decoding`` and knows no publications. So the publication of every
task is made early (:func:`ensure`), long before a position from which the task may start, and remembers since when
it holds its tables.
"""

import re
from collections.abc import Sequence

from psycopg import sql

from pm_rehearsal.cloud.dms.logins import Connection
from pm_rehearsal.cloud.dms.mappings import Table

_SINCE = re.compile(r"complete since ([0-9A-F]+/[0-9A-F]+)")


def ensure(connection: Connection, name: str, tables: Sequence[Table], *, truncate: bool) -> bool:
    """Make the publication hold exactly these tables.

    Args:
        connection: A superuser's, on the source.
        name: Of the publication.
        tables: In any order; at least one.
        truncate: Also pass TRUNCATE on.

    Returns:
        Whether it had to change.
    """
    operations = sql.Literal("insert, update, delete" + (", truncate" if truncate else ""))
    names = sql.SQL(", ").join(sql.Identifier(*table) for table in tables)
    publication = sql.Identifier(name)
    found = connection.execute("SELECT pubtruncate FROM pg_publication WHERE pubname = %s", [name]).fetchone()
    if found == (truncate,) and since(connection, name) is not None and _tables(connection, name) == set(tables):
        return False
    if found is None:
        statement = "CREATE PUBLICATION {} FOR TABLE {} WITH (publish = {})"
        connection.execute(sql.SQL(statement).format(publication, names, operations))
    else:
        connection.execute(sql.SQL("ALTER PUBLICATION {} SET TABLE {}").format(publication, names))
        connection.execute(sql.SQL("ALTER PUBLICATION {} SET (publish = {})").format(publication, operations))
    remark(connection, name)
    return True


def remark(connection: Connection, name: str) -> None:
    """Write down that the publication holds its tables from now on."""
    row = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
    comment = sql.Literal(f"complete since {row[0]}" if row else None)
    connection.execute(sql.SQL("COMMENT ON PUBLICATION {} IS {}").format(sql.Identifier(name), comment))


def since(connection: Connection, name: str) -> str | None:
    """The WAL position from which the publication holds all of its tables; None when there is none."""
    row = connection.execute(
        "SELECT obj_description(oid, 'pg_publication') FROM pg_publication WHERE pubname = %s", [name]
    ).fetchone()
    match = _SINCE.fullmatch(row[0] or "") if row else None
    return match[1] if match else None


def drop(connection: Connection, name: str) -> None:
    """Remove it if it exists."""
    connection.execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(name)))


def _tables(connection: Connection, name: str) -> set[Table]:
    query = "SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = %s"
    return {(schema, table) for schema, table in connection.execute(query, [name])}
