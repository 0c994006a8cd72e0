"""Creates on the target what the source has, in two parts around the load.

Before: types, functions, sequences, tables with their defaults, primary keys (replication finds rows by them). In one
transaction, so that a killed run leaves all of it or nothing. After: indexes, other constraints, foreign keys,
triggers; each in a transaction of its own, with a short lock timeout, because replication writes to the tables
meanwhile; what is there already is passed over, so that a killed run is continued.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg import errors, sql

from pm_cutover.database import Database, cut_after
from pm_cutover.errors import RefusedError
from pm_cutover.schema.archive import Entry, SchemaArchive

OWNER = "pm_owner"
LOCK_TIMEOUT_MS = 2_000
RETRY_SECONDS = 300.0
ANSWER_SECONDS = 300.0
# An index of a very large table takes hours; a frozen server is given up after this.
BUILD_SECONDS = 12 * 3600.0
_THERE_ALREADY = (
    errors.DuplicateObject,
    errors.DuplicateTable,
    errors.DuplicateFunction,
    errors.InvalidTableDefinition,
)
# A lock that replication holds, or a foreign key whose other row is still on its way.
_PASSING = (errors.LockNotAvailable, errors.DeadlockDetected, errors.ForeignKeyViolation, errors.QueryCanceled)

_PRIMARY_KEYS = """
select n.nspname || ' ' || t.relname || ' ' || c.conname
  from pg_constraint c join pg_class t on t.oid = c.conrelid join pg_namespace n on n.oid = t.relnamespace
 where c.contype = 'p'"""


def copy_tables(archive: SchemaArchive, *, source: Database, target: Database, tables: Sequence[str]) -> bool:
    """Create tables and primary keys on the target.

    Args:
        archive: Made from the source.
        source: Where the primary keys are looked up.
        target: Where to create.
        tables: The replicated tables, ``schema.table``.

    Returns:
        False when they were there already.

    Raises:
        RefusedError: Only some of the tables are there, or the target refuses a statement.
    """
    with target.connect() as connection, cut_after(ANSWER_SECONDS, connection):
        found = [table for table in tables if _exists(connection, table)]
        if len(found) == len(tables):
            return False
        if found:
            raise RefusedError(
                f"the target has {', '.join(found)} but not all of {', '.join(tables)}: "
                f"drop what does not belong there and run again"
            )
        keys = _primary_keys(source)
        entries = [entry for entry in archive.entries if not entry.post_data or _is_key(entry, keys)]
        try:
            with connection.transaction():
                _become_owner(connection)
                connection.execute(archive.statements(entries).encode())
        except psycopg.Error as error:
            raise RefusedError(
                f"the target refuses the source's schema: {_one_line(error)} - "
                "drop or rename what is in the way on the target and run again"
            ) from error
        return True


def finish_tables(
    archive: SchemaArchive,
    *,
    source: Database,
    target: Database,
    on_entry: Callable[[str, int, int], None],
    timeout_seconds: float = RETRY_SECONDS,
) -> int:
    """Create indexes, constraints, foreign keys and triggers on the target, and gather statistics.

    Args:
        archive: Made from the source.
        source: Where the primary keys are looked up.
        target: Where to create.
        on_entry: Told the name, number and total of each before it is made.
        timeout_seconds: How long each may be retried.

    Returns:
        How many were made; those that were there already are not counted.

    Raises:
        RefusedError: The target refuses one, or a lock could not be had in time.
    """
    keys = _primary_keys(source)
    entries = [entry for entry in archive.entries if entry.post_data and not _is_key(entry, keys)]
    made = 0
    with target.connect() as connection:
        for number, entry in enumerate(entries, start=1):
            on_entry(entry.what, number, len(entries))
            with cut_after(BUILD_SECONDS, connection):
                made += _create(connection, archive.statements([entry]), entry, timeout_seconds)
        with cut_after(BUILD_SECONDS, connection):
            connection.execute("analyze")
    return made


def _create(connection: psycopg.Connection[Any], statements: str, entry: Entry, timeout_seconds: float) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            with connection.transaction():
                _become_owner(connection)
                connection.execute(statements.encode())
        except _THERE_ALREADY:
            return False
        except _PASSING as error:
            if time.monotonic() > deadline:
                raise RefusedError(
                    f"{entry.what} could not be made on the target within {timeout_seconds:g} s: {_one_line(error)} - "
                    "look for a transaction that holds the table there, run again"
                ) from error
            time.sleep(0.2)
        except psycopg.Error as error:
            raise RefusedError(
                f"the target refuses {entry.what}: {_one_line(error)} - correct it there and run again"
            ) from error
        else:
            return True


def _become_owner(connection: psycopg.Connection[Any]) -> None:
    connection.execute(sql.SQL("set local role {}").format(sql.Identifier(OWNER)))
    connection.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(LOCK_TIMEOUT_MS)))


def _exists(connection: psycopg.Connection[Any], table: str) -> bool:
    row = connection.execute("select to_regclass(%s) is not null", (table,)).fetchone()
    return row is not None and bool(row[0])


def _primary_keys(source: Database) -> frozenset[str]:
    with source.connect() as connection, cut_after(ANSWER_SECONDS, connection):
        return frozenset(str(row[0]) for row in connection.execute(_PRIMARY_KEYS))


def _is_key(entry: Entry, keys: frozenset[str]) -> bool:
    kind, _, rest = entry.what.partition(" ")
    return kind == "CONSTRAINT" and rest.rpartition(" ")[0] in keys


def _one_line(error: psycopg.Error) -> str:
    return " ".join(str(error).split())
