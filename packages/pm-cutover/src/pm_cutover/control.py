"""The control schema ``pm_control`` of one database: install it, read it, remove it."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal, LiteralString

import psycopg
from psycopg import sql

from pm_cutover.database import Database, cut_after
from pm_cutover.errors import RefusedError

SOURCE_WORD = 10
"""Open at epoch 1: what the source starts with."""
TARGET_WORD = 2
"""Sealed at epoch 0: what the target starts with."""

# Nobody's payment waits behind our request for a table lock longer than this; then we step back and try again.
_TABLE_LOCK_MS = 50
_RETRY_SECONDS = 0.4
_ANSWER_SECONDS = 10.0

_Trigger = Literal["pm_fence", "pm_fence_replica"]
# Applications write through the first; replication passes it and writes through the second, each row of it, because
# PostgreSQL's own replication fires no other triggers.
_TRIGGERS: dict[_Trigger, tuple[LiteralString, ...]] = {
    "pm_fence": (
        "create or replace trigger pm_fence before insert or update or delete or truncate on {} "
        "for each statement execute function pm_control.guard()",
        "alter table {} enable trigger pm_fence",
    ),
    "pm_fence_replica": (
        "create or replace trigger pm_fence_replica before insert or update or delete on {} "
        "for each row execute function pm_control.guard_replica()",
        "alter table {} enable replica trigger pm_fence_replica",
    ),
}

FenceName = Literal["open", "fenced", "sealed"]
_NAMES: tuple[FenceName, ...] = ("open", "fenced", "sealed")


class ControlError(RefusedError):
    """The control schema could not be installed, read or removed: what was found, what to do."""


class ControlMissingError(ControlError):
    """The database holds no control schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FenceState:
    """The fence of one database.

    Attributes:
        installed: Whether the control schema exists; when not, the rest is 0, ``open``, 0.
        word: The fence word as stored: epoch * 10 + 0 open, 1 fenced, 2 sealed.
        epoch: Its epoch.
        state: What it means now: a fence whose lease ran out is ``open``.
        lease_remaining_seconds: Until the fence lifts itself; 0 unless ``fenced``.
    """

    installed: bool
    word: int
    epoch: int
    state: FenceName
    lease_remaining_seconds: float


def install(database: Database, *, tables: Sequence[str], word: int, timeout_seconds: float = 60.0) -> None:
    """Install the control schema and fence ``tables``; what is there already stays, above all the word.

    One transaction. It asks for the table locks that triggers need only briefly and repeats, so that behind a long
    application transaction no payment queues for more than 50 ms a table.

    Args:
        database: Logged in as ``pm_cutover``: CREATE on the database, member of the tables' owner.
        tables: ``schema.table``, unquoted, as stored; with each are fenced its partitions and what it is one of.
        word: First value of the fence word, SOURCE_WORD or TARGET_WORD.
        timeout_seconds: Longest wait for the tables.

    Raises:
        ControlError: A table does not exist, a privilege is missing, or a transaction never let go of a table.
        DatabaseUnreachableError: No connection.
    """
    script = files("pm_cutover").joinpath("control.sql").read_text(encoding="utf-8")
    with database.connect() as connection, cut_after(timeout_seconds + _ANSWER_SECONDS, connection):
        missing = _missing(connection, tables)
        if missing:
            raise ControlError(
                f"{database.name} holds no table {', '.join(missing)}: create the schema there first, "
                "or correct the list of tables"
            )

        def change() -> None:
            fresh = not _installed(connection)
            connection.execute(script.encode())
            if fresh:
                connection.execute("select setval('pm_control.fence', %s)", (word,))
            missing = _missing_triggers(connection, tables)
            if missing:
                names = sql.SQL(", ").join(sql.Identifier(*table) for table in sorted({table for table, _ in missing}))
                connection.execute(sql.SQL("lock table {} in share row exclusive mode").format(names))
            for table, trigger in missing:
                for statement in _TRIGGERS[trigger]:
                    connection.execute(sql.SQL(statement).format(sql.Identifier(*table)))

        _with_brief_locks(database, connection, change, "install the control schema", timeout_seconds)


def remove(database: Database, *, word: int, timeout_seconds: float = 60.0) -> None:
    """Drop the control schema and with it every trigger of a fence; does nothing when there is none.

    Args:
        database: Logged in as ``pm_cutover``.
        word: The fence word that the decision to remove it was based on; under any other nothing is dropped.
        timeout_seconds: Longest wait for the tables.

    Raises:
        ControlError: The writer moved meanwhile, the schema belongs to another role, or a transaction never let go of a
            table.
        DatabaseUnreachableError: No connection.
    """
    with database.connect() as connection, cut_after(timeout_seconds + _ANSWER_SECONDS, connection):

        def change() -> None:
            found = fence_of(connection)
            if found.installed and found.word != word:
                raise ControlError(
                    f"the fence word of {database.name} is {found.word}, no longer {word}: the writer moved meanwhile; "
                    "see `pm status`"
                )
            connection.execute("drop schema if exists pm_control cascade")

        _with_brief_locks(database, connection, change, "remove the control schema", timeout_seconds)


def read_state(database: Database) -> FenceState:
    """The fence of one database, whether installed or not.

    Raises:
        DatabaseUnreachableError: No connection.
    """
    with database.connect() as connection, cut_after(_ANSWER_SECONDS, connection):
        return fence_of(connection)


def fence_of(connection: psycopg.Connection[Any]) -> FenceState:
    """As ``read_state``, on a connection that is there already."""
    if not _installed(connection):
        return FenceState(installed=False, word=0, epoch=0, state="open", lease_remaining_seconds=0.0)
    row = connection.execute(
        "select f.last_value, pm_control.word(), l.last_value - pm_control.clock_ms() "
        "from pm_control.fence f, pm_control.lease l"
    ).fetchone()
    if row is None:
        raise ControlError("pm_control.fence answered no row: the control schema is damaged, install it again")
    stored, effective, lease_ms = row
    return FenceState(
        installed=True,
        word=stored,
        epoch=stored // 10,
        state=_NAMES[effective % 10],
        lease_remaining_seconds=max(0, lease_ms) / 1000 if effective % 10 == 1 else 0.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """Where replication away from a database begins.

    Attributes:
        start_lsn: The WAL position fixed before the database was opened, ``16/B374D848``.
        token: Of the marker behind that position, the first row that replication carries.
    """

    start_lsn: str
    token: str


def handoff_of(connection: psycopg.Connection[Any], *, epoch: int) -> Handoff | None:
    """What was fixed on this database before it was opened at ``epoch``, None when nothing was."""
    row = connection.execute(
        "select start_lsn::text, token from pm_control.handoff where epoch = %s", (epoch,)
    ).fetchone()
    return None if row is None else Handoff(start_lsn=row[0], token=row[1])


def _installed(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute("select to_regclass('pm_control.fence') is not null").fetchone()
    return row is not None and bool(row[0])


def _split(table: str) -> tuple[str, str]:
    schema, dot, name = table.partition(".")
    if not (schema and dot and name):
        raise ControlError(f"table {table!r}: allowed is schema.table, for example public.payments")
    return schema, name


def _missing(connection: psycopg.Connection[Any], tables: Sequence[str]) -> list[str]:
    found = {
        row[0]
        for row in connection.execute(
            "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace "
            "where c.relkind in ('r', 'p') and (n.nspname, c.relname) = any"
            "(select * from unnest(%s::text[], %s::text[]))",
            _columns(tables),
        )
    }
    return [table for table in tables if table not in found]


def _missing_triggers(
    connection: psycopg.Connection[Any], tables: Sequence[str]
) -> list[tuple[tuple[str, str], _Trigger]]:
    """What is not there, or not enabled, on the tables, their partitions and what they are partitions of."""
    rows = connection.execute(
        """
        with wanted as (
            select c.oid from unnest(%s::text[], %s::text[]) w (schema_name, table_name)
            join pg_namespace n on n.nspname = w.schema_name
            join pg_class c on c.relnamespace = n.oid and c.relname = w.table_name
        ), all_of_them as (
            select oid from wanted union select p.relid from wanted, pg_partition_tree(wanted.oid) p
            -- A statement on a parent fires the parent's triggers, and none of its partitions'.
            union select a.relid from wanted, pg_partition_ancestors(wanted.oid) a
        )
        select n.nspname, c.relname, f.name from all_of_them join pg_class c using (oid)
        join pg_namespace n on n.oid = c.relnamespace
        cross join (values ('pm_fence', 'O'), ('pm_fence_replica', 'R')) f (name, enabled)
        where (f.name = 'pm_fence' or c.relkind = 'r') and not exists (
            select from pg_trigger t where t.tgrelid = c.oid and t.tgname = f.name and t.tgenabled::text = f.enabled
        )
        order by 1, 2, 3
        """,
        _columns(tables),
    ).fetchall()
    return [((schema, name), trigger) for schema, name, trigger in rows]


def _columns(tables: Sequence[str]) -> tuple[list[str], list[str]]:
    pairs = [_split(table) for table in tables]
    return [schema for schema, _ in pairs], [name for _, name in pairs]


def _with_brief_locks(
    database: Database,
    connection: psycopg.Connection[Any],
    change: Callable[[], None],
    what: str,
    timeout_seconds: float,
) -> None:
    """Run ``change`` in one transaction whose every lock request is short; repeat it until it went through."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            with connection.transaction():
                connection.execute(f"set local lock_timeout = {_TABLE_LOCK_MS}")
                connection.execute("select pg_advisory_xact_lock(7740)")  # no move of the writer, no second install
                change()
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            if time.monotonic() > deadline:
                raise ControlError(
                    f"cannot {what} on {database.name} within {timeout_seconds:g} s: {_holders(connection)}; "
                    "wait for it or end it, then run again"
                ) from error
            time.sleep(_RETRY_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - spreads retries, guards nothing
        except psycopg.errors.InsufficientPrivilege as error:
            raise ControlError(
                f"cannot {what} on {database.name} as {database.user}: {error.diag.message_primary}; the role needs "
                "CREATE on the database and membership in the owner of the tables"
            ) from error
        else:
            return


def _holders(connection: psycopg.Connection[Any]) -> str:
    rows = connection.execute(
        """
        select distinct s.pid, s.application_name, extract(epoch from clock_timestamp() - s.xact_start)::int as age
        from pg_locks l join pg_stat_activity s using (pid)
        where l.granted and s.pid <> pg_backend_pid() and l.database = (
            select oid from pg_database where datname = current_database())
          and (l.mode = 'RowExclusiveLock' or (l.locktype = 'advisory' and l.objid = 7740))
        order by age desc nulls last limit 3
        """
    ).fetchall()
    if not rows:
        return "its tables are locked again and again by short transactions"
    return ", ".join(
        f"pid {pid} ({application or 'no application name'}) holds a lock" + (f" for {age} s" if age else "")
        for pid, application, age in rows
    )
