"""Steps 3 to 10: from the fence on the old writer to the opening of the new one.

Three commits of these wait for the disk: the drain marker's, the seal's and the opening's. The others are followed by
one of these on the same server before anything depends on them, and a server that crashes takes the engine's session
and its locks along.
"""

from contextlib import suppress

import psycopg

from pm_cutover.database import cut_after
from pm_cutover.errors import RefusedError
from pm_cutover.steps.locks import BARRIER_LOCK, writing_for
from pm_cutover.steps.markers import WRITE, MarkerTimeoutError, new_token, wait_for_marker
from pm_cutover.steps.move import Move
from pm_cutover.steps.sequences import SequenceValues

FENCE = "select set_config('synchronous_commit', 'off', true), pm_control.fence(%s, %s)"
TAKE_LOCK = "select pg_advisory_lock(%s)"
SEAL = "select pm_control.seal(%s)"
HANDOFF = """
    with noted as (
        insert into pm_control.handoff (epoch, start_lsn, token)
        select %(epoch)s::bigint, pg_current_wal_insert_lsn(), %(token)s::text where %(really)s::bool
        on conflict (epoch) do update set start_lsn = excluded.start_lsn, token = excluded.token, at = excluded.at
        returning token
    )
    insert into pm_control.marker (token) select token from noted
"""
OPEN = "select set_config('synchronous_commit', 'on', false), pm_control.open(%s)"


def fence(move: Move) -> None:
    """From here on ``a`` admits nobody, until the lease ends."""
    lease_ms = round(move.limits.lease_seconds * 1000)
    move.sessions.a.execute(FENCE, (move.epoch, lease_ms), prepare=True)


def barrier(move: Move) -> None:
    """Wait until the transactions that were admitted before the fence have ended; later ones queue behind us."""
    try:
        move.sessions.barrier.execute(TAKE_LOCK, (BARRIER_LOCK,), prepare=True)
    except psycopg.errors.LockNotAvailable as error:
        found = writing_for(move.sessions.a, seconds=0) or "it ended just now"
        raise RefusedError(
            f"a transaction on {move.a.name} went on for longer than {move.limits.barrier_seconds:g} s after the "
            f"fence: {found}; let it end, or end it, then run again"
        ) from error


def drain(move: Move) -> None:
    """Write a marker behind the last payment and wait until it has arrived on ``b``; read the sequences meanwhile."""
    a, limits = move.sessions.a, move.limits
    token = new_token(move.a, move.b, f"drain {move.epoch}")
    with a.pipeline() as pipeline:
        a.execute(WRITE, (token,), prepare=True)
        pipeline.sync()  # commits the marker: it travels while the sequences are read
        answer = a.execute(move.sequences.read, prepare=True)
        row = answer.fetchone()
    if row is None:
        raise RefusedError(f"{move.a.name} did not tell its sequences: run again")
    move.positions = SequenceValues(last=tuple(row[0]), called=tuple(row[1]))
    try:
        wait_for_marker(move.sessions.b, token, timeout_seconds=limits.drain_seconds, poll_seconds=0.0005)
    except MarkerTimeoutError as error:
        raise RefusedError(
            f"the last rows of {move.a.name} did not arrive on {move.b.name} within {limits.drain_seconds:g} s: "
            "wait for replication, see pm status"
        ) from error


def seal(move: Move) -> None:
    """Make the fence permanent; the database refuses when the lease ran out, because writes came in since."""
    move.sessions.a.execute(SEAL, (move.epoch,), prepare=True)


def sequences(move: Move) -> None:
    """Move the sequences of ``b`` to where those of ``a`` are, never backwards."""
    positions = move.positions
    if positions is None:
        raise RuntimeError("the step drain has not run")
    move.sessions.b.execute(move.sequences.write, (list(positions.last), list(positions.called)), prepare=True)


def handoff(move: Move) -> None:
    """Note where reverse replication starts: behind the last row that came from ``a``, before the first write.

    The marker is the first row behind that position: where it has arrived, replication began in time.
    """
    token = new_token(move.b, move.a, f"handoff {move.epoch + 1}")
    move.sessions.b.execute(HANDOFF, {"epoch": move.epoch + 1, "token": token, "really": True}, prepare=True)


def open_writer(move: Move) -> None:
    """The point of no return."""
    move.open_sent = True
    move.sessions.b.execute(OPEN, (move.epoch + 1,), prepare=True)
    move.b_is_writer = True


def release(move: Move) -> None:
    """Let go those that queue on ``a``: they are refused there, and repeat on ``b``."""
    barrier = move.sessions.barrier
    # A server that ends the session, or answers no more, ends the lock with it.
    with cut_after(move.limits.recovery_seconds, barrier), suppress(psycopg.OperationalError):
        barrier.execute("select pg_advisory_unlock(%s)", (BARRIER_LOCK,), prepare=True)
    barrier.close()
