"""Advisory lock 7740: one engine at a time, and whoever writes markers keeps engines away."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg

from pm_cutover.database import Database, cut_after
from pm_cutover.errors import RefusedError

ENGINE_LOCK = 7740
BARRIER_LOCK = 7741
WARM_UP_LOCK = 7742  # nobody waits for it

_ANSWER_SECONDS = 10.0


class EngineBusyError(RefusedError):
    """Another ``pm`` works on these databases; the message says which, where, since when."""


def engine_name(role: str) -> str:
    """What ``pg_stat_activity`` shows of this process: ``pm move@host:pid``, at most 63 characters."""
    return f"pm {role}@{socket.gethostname()[:40]}:{os.getpid()}"


def take_engine_lock(
    session: psycopg.Connection[Any], database: Database, *, shared: bool = False, timeout_seconds: float
) -> None:
    """Take the lock for as long as ``session`` lives.

    Raises:
        EngineBusyError: Somebody else held it for ``timeout_seconds``.
    """
    function = "pg_advisory_lock_shared" if shared else "pg_advisory_lock"
    try:
        with session.transaction():  # a session-level lock survives the end of the transaction, the timeout does not
            session.execute("select set_config('lock_timeout', %s, true)", (_milliseconds(timeout_seconds),))
            session.execute(f"select {function}(%s)", (ENGINE_LOCK,))
    except psycopg.errors.LockNotAvailable as error:
        raise EngineBusyError(
            f"another pm works on {database.name}: {_holder(session)}; wait until it ends, or end it, and run again"
        ) from error


@contextmanager
def engine_lock(*databases: Database, shared: bool = False, timeout_seconds: float = 5.0) -> Iterator[None]:
    """Keep moves of the writer away from the databases while the block runs; unless shared, every other reader, too.

    Raises:
        EngineBusyError: Somebody works on them and did not end within ``timeout_seconds``.
        DatabaseUnreachableError: No connection.
    """
    with ExitStack() as stack:
        for database in in_order(databases):
            role = "reader" if shared else "writer"
            session = stack.enter_context(database.connect(application_name=engine_name(role)))
            with cut_after(timeout_seconds + _ANSWER_SECONDS, session):
                take_engine_lock(session, database, shared=shared, timeout_seconds=timeout_seconds)
        yield


def in_order(databases: tuple[Database, ...]) -> list[Database]:
    """Everybody locks the source first: two engines that move in opposite directions do not wait for each other."""
    return sorted(databases, key=lambda database: database.name)


def writing_for(session: psycopg.Connection[Any], *, seconds: float) -> str | None:
    """The oldest admitted transaction that is older than ``seconds``, in words; None when there is none."""
    row = session.execute(
        """
        select coalesce('pid ' || l.pid || ' (' || coalesce(nullif(s.application_name, ''), s.usename) || ')',
                        'a prepared transaction'),
               extract(epoch from clock_timestamp() - s.xact_start)::float8
        from pg_locks l left join pg_stat_activity s using (pid)
        where l.locktype = 'advisory' and l.classid = 0 and l.objid = %s and l.objsubid = 1 and l.granted
          and l.database = (select oid from pg_database where datname = current_database())
          and l.mode = 'ShareLock'
          and coalesce(s.xact_start < clock_timestamp() - make_interval(secs => %s), true)
        order by s.xact_start nulls first limit 1
        """,
        (BARRIER_LOCK, seconds),
    ).fetchone()
    if row is None:
        return None
    who, age = row
    return who if age is None else f"{who}, writing for {age:.1f} s"


def _holder(session: psycopg.Connection[Any]) -> str:
    row = session.execute(
        """
        select s.pid, s.application_name, s.usename, coalesce(host(s.client_addr), 'local'),
               to_char(s.backend_start at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS')
        from pg_locks l join pg_stat_activity s using (pid)
        where l.locktype = 'advisory' and l.classid = 0 and l.objid = %s and l.objsubid = 1 and l.granted
          and l.database = (select oid from pg_database where datname = current_database())
          and l.pid <> pg_backend_pid()
        order by s.backend_start limit 1
        """,
        (ENGINE_LOCK,),
    ).fetchone()
    if row is None:
        return "it ended just now"
    pid, application, user, host, since = row
    return f"{application!r}, server pid {pid}, user {user}, from {host}, since {since} UTC"


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))
