"""The engine's database sessions; the locks they hold are its power to move the writer."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self

import psycopg

from pm_cutover.database import Database, cut_after
from pm_cutover.steps.limits import Limits
from pm_cutover.steps.locks import engine_name, in_order, take_engine_lock

Session = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Three sessions in autocommit mode.

    Attributes:
        a: Holds the engine lock on the old writer and does everything there that moves the word or writes a row: an
            engine that lost its lock has lost its power with it, however long it was frozen.
        b: The same on the new writer.
        barrier: Takes the barrier lock on the old writer; the server ends it when the engine is silent for a lease.
    """

    a: Session
    b: Session
    barrier: Session

    @classmethod
    def open(cls, a: Database, b: Database, *, limits: Limits) -> Self:
        """Connect and take the engine lock on both databases.

        Raises:
            EngineBusyError: Another ``pm`` holds it.
            DatabaseUnreachableError: A server does not answer.
        """
        opened: dict[str, Session] = {}
        with ExitStack() as undo:
            for database in in_order((a, b)):
                session = database.connect(application_name=engine_name("move"))
                undo.callback(session.close)
                with cut_after(limits.engine_lock_seconds + limits.recovery_seconds, session):
                    take_engine_lock(session, database, timeout_seconds=limits.engine_lock_seconds)
                    # No statement of a move is worth more than the lease.
                    session.execute("select set_config('statement_timeout', %s, false)", (f"{limits.lease_seconds}s",))
                    session.execute("set idle_session_timeout = 0")  # idle while replication turns round
                opened[database.name] = session
            barrier = a.connect(application_name=engine_name("barrier"))
            undo.pop_all()
        return cls(a=opened[a.name], b=opened[b.name], barrier=barrier)

    def close(self) -> None:
        """Give up the locks."""
        for session in (self.barrier, self.a, self.b):
            session.close()
