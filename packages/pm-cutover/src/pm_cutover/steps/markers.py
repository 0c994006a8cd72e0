"""A row on one database, waited for on the other: proof that everything committed before it has arrived."""

import time
import uuid

import psycopg

from pm_cutover.control import ControlMissingError, Handoff
from pm_cutover.database import Database, cut_after
from pm_cutover.errors import RefusedError
from pm_cutover.replication import DeadEndError
from pm_cutover.steps.locks import engine_name, take_engine_lock
from pm_cutover.steps.sessions import Session

WRITE = "insert into pm_control.marker (token) values (%s)"
_ARRIVED = "select 1 from pm_control.marker where token = %s"
_REMOVE = "delete from pm_control.marker where token = %s"
_LOCK_SECONDS = 5.0


class MarkerTimeoutError(RefusedError):
    """A marker did not arrive in time."""


def new_token(a: Database, b: Database, purpose: str) -> str:
    """A token nobody used before, readable in the table."""
    return f"{a.name}-{b.name} {purpose} {uuid.uuid4().hex}"


def wait_for_marker(session: Session, token: str, *, timeout_seconds: float, poll_seconds: float) -> None:
    """Return when the row is there.

    Raises:
        MarkerTimeoutError: It did not arrive in time.
    """
    deadline = time.monotonic() + timeout_seconds
    while session.execute(_ARRIVED, (token,), prepare=True).fetchone() is None:
        if time.monotonic() > deadline:
            raise MarkerTimeoutError(f"a marker did not arrive within {timeout_seconds:g} s")
        time.sleep(poll_seconds)


def round_trip(a: Session, b: Session, token: str, *, timeout_seconds: float) -> float:
    """Seconds from writing the marker on ``a`` until it was seen on ``b``; the caller holds the engine lock on ``a``.

    The marker is removed again when it has arrived, so that the table stays small.

    Raises:
        MarkerTimeoutError: It did not arrive in time.
    """
    started = time.monotonic()
    a.execute(WRITE, (token,), prepare=True)
    wait_for_marker(b, token, timeout_seconds=timeout_seconds, poll_seconds=0.001)
    seconds = time.monotonic() - started
    a.execute(_REMOVE, (token,))
    return seconds


def check_began_in_time(a: Session, b: Session, handoff: Handoff, *, names: tuple[str, str]) -> None:
    """See that replication ``a`` -> ``b`` carried the first row behind its position; call it when a later one arrived.

    Raises:
        DeadEndError: It began later: what was written on ``a`` before will never arrive.
    """
    here, there = (
        session.execute(_ARRIVED, (handoff.token,), prepare=True).fetchone() is not None for session in (a, b)
    )
    if here and not there:
        raise DeadEndError(
            f"replication {names[0]} -> {names[1]} began later than at {handoff.start_lsn}: {names[1]} lacks the first "
            f"writes of {names[0]} and must not become the writer; pm verify names the rows"
        )


def marker_round_trip(a: Database, b: Database, *, timeout_seconds: float) -> float:
    """Seconds that a row written on ``a``, the writer, takes to arrive on ``b``.

    Holds the engine lock of ``a`` in shared mode, in the session that writes: a marker that was written after the
    fence of a move would come back through the reverse replication and break it.

    Raises:
        EngineBusyError: A move is running.
        MarkerTimeoutError: The marker did not arrive within ``timeout_seconds``.
        RefusedError: ``a`` is not open.
        ControlMissingError: No control schema.
        DatabaseUnreachableError: No connection.
    """
    with (
        a.connect(application_name=engine_name("marker")) as here,
        b.connect(application_name=engine_name("marker")) as there,
        cut_after(timeout_seconds + _LOCK_SECONDS + 1, here, there),
    ):
        take_engine_lock(here, a, shared=True, timeout_seconds=_LOCK_SECONDS)
        try:
            row = here.execute("select pm_control.word()").fetchone()
            if row is None or row[0] % 10 != 0:
                raise RefusedError(
                    f"{a.name} is not the open writer: markers are written only there; an interrupted move is "
                    "completed or taken back by running it again"
                )
            return round_trip(here, there, new_token(a, b, "round-trip"), timeout_seconds=timeout_seconds)
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
            raise ControlMissingError(
                f"no control schema ({error.diag.message_primary}): run pm replicate first"
            ) from error
