"""Step 1, and the way out of a failed pause: hold both locks, read both words, leave exactly one writer."""

import time

import psycopg

from pm_cutover.control import ControlMissingError
from pm_cutover.database import Database, DatabaseUnreachableError, cut_after
from pm_cutover.errors import PersonNeededError, RefusedError
from pm_cutover.steps.locks import BARRIER_LOCK
from pm_cutover.steps.move import Move
from pm_cutover.steps.sessions import Session, Sessions
from pm_cutover.steps.situation import decide

_RETRY_SECONDS = 0.2

# We are the only engine: whoever still holds the barrier belongs to one that hangs, and payments queue behind it.
_END_STALE_BARRIER = """
    select pg_terminate_backend(pid, 1000) from pg_locks
    where locktype = 'advisory' and classid = 0 and objid = %s and objsubid = 1 and mode = 'ExclusiveLock' and granted
      and database = (select oid from pg_database where datname = current_database())
"""


def lock(move: Move) -> None:
    """Become the only engine; take back what a dead one left half done.

    Raises:
        EngineBusyError: Another ``pm`` works on these databases.
        ControlMissingError: A database holds no control schema.
        PersonNeededError: The fence words cannot come from the protocol.
        DatabaseUnreachableError: A server does not answer.
    """
    move.held = Sessions.open(move.a, move.b, limits=move.limits)
    with cut_after(move.limits.recovery_seconds, move.held.a, move.held.b):
        _settle(move)


def recover(move: Move) -> None:
    """After a failure between fence and opening: the old writer is open again, or the new one turns out to be.

    Sets ``move.b_is_writer`` in the latter case.

    Raises:
        PersonNeededError: A database cannot be reached, so that nobody can know.
    """
    sessions = move.sessions
    try:
        with cut_after(move.limits.recovery_seconds, sessions.a, sessions.b):
            if move.open_sent:
                _settle(move)
            else:  # our lock on ``a`` excludes that anybody has opened ``b`` meanwhile
                sessions.a.execute("select pm_control.reopen(%s)", (move.epoch,))
    except psycopg.OperationalError:
        _recover_anew(move)
    except psycopg.Error as error:
        raise PersonNeededError(f"the move broke off and {move.a.name} does not reopen: {error}") from error
    finally:
        sessions.barrier.close()


def _recover_anew(move: Move) -> None:
    """As a new engine would: with the sessions the locks are lost, and another one may have been here since."""
    deadline = time.monotonic() + move.limits.recovery_seconds
    while True:
        move.close()
        try:
            lock(move)
        except (DatabaseUnreachableError, RefusedError, psycopg.Error) as error:
            if time.monotonic() > deadline:
                raise PersonNeededError(
                    f"the move broke off and it is not known which database is open: {error}; "
                    "when both answer, run the same command again, which takes it back or completes it"
                ) from error
            time.sleep(_RETRY_SECONDS)
        else:
            return


def _settle(move: Move) -> None:
    words = (_word(move.sessions.a, move.a), _word(move.sessions.b, move.b))
    situation = decide(*words)
    move.b_is_writer = situation.writer == "b"
    move.epoch = situation.epoch - 1 if move.b_is_writer else situation.epoch
    if situation.interrupted:
        move.changed = move.b_is_writer
        writer = move.sessions.b if move.b_is_writer else move.sessions.a
        writer.execute("select pm_control.reopen(%s)", (situation.epoch,))
        writer.execute(_END_STALE_BARRIER, (BARRIER_LOCK,))


def _word(session: Session, database: Database) -> int:
    try:
        row = session.execute("select last_value from pm_control.fence").fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise ControlMissingError(
            f"{database.name} holds no control schema: pm replicate installs it, pm finish has removed it"
        ) from error
    if row is None:
        raise ControlMissingError(f"{database.name} holds a damaged control schema: run pm replicate again")
    return int(row[0])
