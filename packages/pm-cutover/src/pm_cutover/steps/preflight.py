"""Step 2: everything that can be checked, made or warmed before anybody has to wait."""

import time

import psycopg

from pm_cutover.control import SOURCE_WORD, handoff_of
from pm_cutover.database import cut_after
from pm_cutover.errors import RefusedError
from pm_cutover.schema.spelling import meaning
from pm_cutover.steps.locks import WARM_UP_LOCK, writing_for
from pm_cutover.steps.markers import MarkerTimeoutError, check_began_in_time, new_token, round_trip
from pm_cutover.steps.move import Move
from pm_cutover.steps.pause import FENCE, HANDOFF, OPEN, SEAL, TAKE_LOCK
from pm_cutover.steps.sequences import SequenceCopy
from pm_cutover.steps.sessions import Session

_REFUSED = "PF002"

# What a fenced table refuses or does by itself: constraints (not-null ones have a catalog entry from PostgreSQL 18 on
# only), unique indexes, triggers.
_RULES = """
    with fenced as (select tgrelid as oid from pg_trigger where tgname = 'pm_fence')
    select format('%s: %s %s', conrelid::regclass, conname, pg_get_constraintdef(c.oid))
    from pg_constraint c join fenced on conrelid = fenced.oid where contype <> 'n'
    union all
    select pg_get_indexdef(indexrelid) from pg_index join fenced on indrelid = fenced.oid
    where indisunique and not exists (select from pg_constraint where conindid = indexrelid)
    union all
    select pg_get_triggerdef(t.oid) from pg_trigger t join fenced on tgrelid = fenced.oid
    where not tgisinternal and tgname not in ('pm_fence', 'pm_fence_replica')
"""

_NEW_PARTITIONS = """
    select distinct p.relid::regclass::text
    from pg_trigger t, pg_partition_tree(pg_partition_root(t.tgrelid)) p
    where t.tgname = 'pm_fence' and p.isleaf
      and not exists (select from pg_trigger f where f.tgrelid = p.relid and f.tgname = 'pm_fence')
    order by 1
"""


def preflight(move: Move) -> None:
    """Refuse what is bound to fail, make the slot of the coming direction, warm every session.

    Raises:
        RefusedError: Something is not as a move needs it.
        ReplicationError: Replication is not ready.
    """
    a, b, barrier, limits = move.sessions.a, move.sessions.b, move.sessions.barrier, move.limits
    with cut_after(limits.recovery_seconds, a, b):
        _compare_fences(move)
        _find_new_partitions(move)
        _compare_rules(move)
        handoff = handoff_of(a, epoch=move.epoch)
    if handoff is not None:  # the move that made ``a`` the writer may have died before its last steps
        move.replication.stop(move.b, move.a)
        move.replication.start_from(move.a, move.b, handoff.start_lsn)
    move.replication.check_running(move.a, move.b)
    move.replication.prepare_slot(move.b)
    waits = limits.transaction_wait_seconds + 2 * limits.lag_wait_seconds
    with cut_after(waits + limits.recovery_seconds, a, b, barrier):
        _compare_sequences(move)
        _wait_for_long_transactions(move)
        _wait_for_small_lag(move)
        if handoff is not None:
            check_began_in_time(a, b, handoff, names=(move.a.name, move.b.name))
        _warm(move)


def _compare_fences(move: Move) -> None:
    fenced, there = (
        {
            str(row[0])
            for row in session.execute(
                "select tgrelid::regclass || case tgname when 'pm_fence' then '' else ' for replication' end "
                "from pg_trigger where (tgname, tgenabled) in (('pm_fence', 'O'), ('pm_fence_replica', 'R'))"
            )
        }
        for session in (move.sessions.a, move.sessions.b)
    )
    if not fenced or fenced != there:
        found = ", ".join(sorted(fenced ^ there)) or "no table at all"
        raise RefusedError(
            f"{move.a.name} and {move.b.name} do not fence the same tables (differ: {found}): "
            + _advice(move, "make the triggers, or the table, the same on both: see docs/runbook.md")
        )


def _find_new_partitions(move: Move) -> None:
    """One that was attached since is in no mapping of a task: its rows would stay behind."""
    if found := [str(name) for (name,) in move.sessions.a.execute(_NEW_PARTITIONS)]:
        raise RefusedError(
            f"{move.a.name} has partitions that are not replicated: {', '.join(found)}; move their rows to others "
            "and detach them, or add them to the setting `tables` before the first cutover"
        )


def _compare_rules(move: Move) -> None:
    """The target must refuse what the source refuses: an interrupted `pm replicate` leaves rows without their rules.

    Not asked on the way back, which nothing that was added to the target since may bar.
    """
    if move.a.name != "source":
        return
    here, there = (
        {meaning(row[0]): str(row[0]) for row in session.execute(_RULES)}
        for session in (move.sessions.a, move.sessions.b)
    )
    if missing := sorted(here[rule] for rule in here.keys() - there.keys()):
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise RefusedError(
            f"{move.b.name} lacks {'; '.join(missing[:3])}{more}: "
            + _advice(move, "create it there, or drop it on the other one")
        )


def _advice(move: Move, by_hand: str) -> str:
    """`pm replicate` makes what is missing until the writer moves for the first time; it changes nothing after."""
    return by_hand if move.epoch > SOURCE_WORD // 10 else "run pm replicate again, which makes what is missing"


def _compare_sequences(move: Move) -> None:
    """On the way back, what was added to the target since stays there, tables and their sequences."""
    move.copy = SequenceCopy.between(
        move.sessions.a,
        move.sessions.b,
        names=(move.a.name, move.b.name),
        may_leave=move.a.name == "target",
    )
    if move.copy.left:
        move.remarks.append(
            f"only {move.a.name} has the sequences {', '.join(move.copy.left)}: they, and tables that only "
            f"{move.a.name} has, stay there as they are"
        )


def _wait_for_long_transactions(move: Move) -> None:
    deadline = time.monotonic() + move.limits.transaction_wait_seconds
    allowed = move.limits.long_transaction_seconds
    while (found := writing_for(move.sessions.a, seconds=allowed)) is not None:
        if time.monotonic() > deadline:
            raise RefusedError(
                f"a transaction on {move.a.name} has been writing for longer than {allowed:g} s: {found}; "
                "payments would wait for it: let it end, or end it, then run again"
            )
        time.sleep(0.02)


def _wait_for_small_lag(move: Move) -> None:
    a, b, limits = move.sessions.a, move.sessions.b, move.limits
    # Drain markers of earlier moves; theirs has arrived long ago. A handoff's goes on proving where replication began.
    a.execute(
        "delete from pm_control.marker where written_at < clock_timestamp() - interval '1 hour' "
        "and token not in (select token from pm_control.handoff)"
    )
    deadline = time.monotonic() + limits.lag_wait_seconds
    while True:
        try:
            lag = round_trip(a, b, new_token(move.a, move.b, "preflight"), timeout_seconds=limits.lag_wait_seconds)
        except MarkerTimeoutError as error:
            raise RefusedError(
                f"{move.a.name} -> {move.b.name} lag is more than {limits.lag_wait_seconds:g} s, allowed are "
                f"{limits.max_lag_seconds:g} s: wait for replication, see pm status"
            ) from error
        if lag <= limits.max_lag_seconds:
            return
        if time.monotonic() > deadline:
            raise RefusedError(
                f"{move.a.name} -> {move.b.name} lag {lag:.1f} s exceeds {limits.max_lag_seconds:g} s: "
                "wait for replication, see pm status"
            )


def _warm(move: Move) -> None:
    """Run each statement of the pause once, without effect: a cold backend needs 5 to 100 ms for its first one."""
    a, b, barrier, limits = move.sessions.a, move.sessions.b, move.sessions.barrier, move.limits
    for _ in range(2):
        _refused(a, FENCE, (-1, 0))
        _refused(a, SEAL, (-1,))
        for session in (a, b):
            session.execute("select setval('pm_control.lease', last_value) from pm_control.lease")
        positions = b.execute(move.sequences.read, prepare=True).fetchone()
        a.execute(move.sequences.read, prepare=True)
        b.execute(move.sequences.write, positions, prepare=True)
        b.execute(HANDOFF, {"epoch": -1, "token": "", "really": False}, prepare=True)
        _refused(b, OPEN, (-1,))
        barrier.execute(TAKE_LOCK, (WARM_UP_LOCK,), prepare=True)
        barrier.execute("select pg_advisory_unlock(%s)", (WARM_UP_LOCK,), prepare=True)
    b.execute("set synchronous_commit = off")  # until OPEN: its commit carries those before it to the disk
    barrier.execute(
        "select set_config('lock_timeout', %s, false), set_config('idle_session_timeout', %s, false)",
        (f"{limits.barrier_seconds * 1000:.0f}", f"{limits.lease_seconds * 1000:.0f}"),
    )


def _refused(session: Session, statement: str, parameters: tuple[int, ...]) -> None:
    """Run one of the engine's moves for an epoch that does not exist."""
    try:
        session.execute(statement, parameters, prepare=True)
    except psycopg.DatabaseError as error:
        if error.sqlstate != _REFUSED:
            raise
