import os
import signal
import threading
import time
from dataclasses import replace

import psycopg
import pytest
from cutover_rig import (
    ENVIRONMENTS,
    LIMITS,
    TABLES,
    Load,
    NativeReplication,
    Rig,
    Sides,
    audit,
    stopped_apply,
    writing_transaction,
)

from pm_cutover.control import read_state
from pm_cutover.database import Database, DatabaseUnreachableError
from pm_cutover.errors import RefusedError
from pm_cutover.protocol import (
    STEP_NAMES,
    EngineBusyError,
    Limits,
    MarkerTimeoutError,
    Moment,
    engine_lock,
    marker_round_trip,
    move_writer,
)


def closed_gate() -> None:
    raise RefusedError("alarm service-5xx fires")


def test_a_closed_gate_keeps_a_move_from_beginning(sides: Sides):
    a = sides.a
    with pytest.raises(RefusedError, match="alarm service-5xx fires"):
        sides.move(gate=closed_gate)
    assert sides.a == a


def test_a_closed_gate_does_not_keep_a_writer_from_being_reopened(sides: Sides, rig: Rig):
    a, b = sides.a, sides.b
    word = rig.value(a.name, "select last_value from pm_control.fence")
    rig.query(a.name, "select setval('pm_control.fence', %s)", word + 2)  # an engine died after the seal
    assert read_state(a).state == "sealed"
    with pytest.raises(RefusedError, match="alarm service-5xx fires"):
        move_writer(a, b, replication=sides.replication, limits=LIMITS, gate=closed_gate)
    assert rig.writer() == a.name


def test_a_closed_gate_does_not_keep_a_move_from_being_completed(sides: Sides):
    a, b = sides.a, sides.b
    assert sides.move().result == "moved"
    assert move_writer(a, b, replication=sides.replication, limits=LIMITS, gate=closed_gate).result == "already"


def test_writer_moves_there_and_back_under_load(sides: Sides, rig: Rig):
    with Load(rig) as load:
        for _ in range(4):
            a, b = sides.a, sides.b
            outcome = sides.move()
            assert (outcome.result, outcome.reason) == ("moved", "")
            assert (outcome.origin, outcome.destination) == (a.name, b.name)
            assert rig.writer() == b.name
            assert outcome.epoch == read_state(b).epoch
            assert tuple(step.name for step in outcome.steps) == STEP_NAMES
            assert outcome.pause_ms is not None
            assert outcome.pause_ms < LIMITS.lease_seconds * 1000  # how short it is, the rehearsal measures
            assert outcome.fenced_at is not None
            assert outcome.opened_at == pytest.approx(outcome.fenced_at + outcome.pause_ms / 1000)
            assert read_state(a).state == "sealed"
            load.wait_for(5)
    audit(rig, load)
    assert load.fenced > 0


def test_moving_again_when_all_is_done_says_so(sides: Sides):
    a, b = sides.a, sides.b
    assert sides.move().result == "moved"
    again = move_writer(a, b, replication=sides.replication, limits=LIMITS)
    assert (again.result, again.fenced_at, again.pause_ms) == ("already", None, None)
    assert again.epoch == read_state(b).epoch


def test_rolling_back_what_never_moved_says_so(sides: Sides):
    b, a = sides.a, sides.b
    assert move_writer(a, b, replication=sides.replication, limits=LIMITS).result == "already"


def test_observer_sees_each_step(sides: Sides):
    seen: list[tuple[str, Moment]] = []
    sides.move(observer=lambda name, moment: seen.append((name, moment)))
    assert seen == [(name, moment) for name in STEP_NAMES for moment in ("before", "after")]


def test_a_transaction_that_outlives_the_barrier_aborts_and_reopens(sides: Sides, rig: Rig):
    a = sides.a
    with writing_transaction(a) as transaction:
        pid = transaction.info.backend_pid
        outcome = sides.move(replace(LIMITS, long_transaction_seconds=60, barrier_seconds=0.2))
        assert rig.writer() == a.name
        transaction.execute("update accounts set name = name where id = 2")
    assert outcome.result == "aborted"
    assert f"pid {pid} (batch)" in outcome.reason
    assert outcome.pause_ms is not None
    assert 200 <= outcome.pause_ms < 500
    assert sides.move().result == "moved"


def test_rows_that_do_not_arrive_abort_and_reopen(sides: Sides, rig: Rig):
    a, b = sides.a, sides.b
    blocker = psycopg.connect(**replace(b, user="postgres").parameters())

    def block(name: str, moment: Moment) -> None:
        if (name, moment) == ("fence", "before"):
            blocker.execute("lock table pm_control.marker in exclusive mode")

    with blocker:
        outcome = sides.move(observer=block)
        assert rig.writer() == a.name
    assert outcome.result == "aborted"
    assert "did not arrive" in outcome.reason
    assert outcome.pause_ms is not None
    assert 500 <= outcome.pause_ms < 900
    assert rig.query(b.name, "select slot_name from pg_replication_slots") == []
    assert sides.move().result == "moved"


def test_interrupting_the_pause_reopens(sides: Sides, rig: Rig):
    a = sides.a

    def interrupt(name: str, moment: Moment) -> None:
        if (name, moment) == ("seal", "after"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sides.move(observer=interrupt)
    assert rig.writer() == a.name


@pytest.mark.parametrize("step", ["barrier", "drain", "seal", "sequences", "open", "release"])
@pytest.mark.parametrize("lost", ["a", "b"])
def test_losing_a_session_in_the_pause_leaves_one_writer(sides: Sides, rig: Rig, step: str, lost: str):
    a, b = sides.a, sides.b
    side = (a if lost == "a" else b).name

    def cut(name: str, moment: Moment) -> None:
        if (name, moment) == (step, "before"):
            rig.query(
                side,
                "select pg_terminate_backend(pid, 1000) from pg_stat_activity where application_name like 'pm move@%%'"
                " and pid <> pg_backend_pid()",
            )

    outcome = sides.move(observer=cut)
    if lost == "a" and step in {"sequences", "open", "release"}:  # nothing more is written there
        assert (outcome.result, rig.writer()) == ("moved", b.name)
        return
    opened = step == "release"
    assert outcome.result == ("unfinished" if opened else "aborted")
    assert rig.writer() == (b if opened else a).name
    again = move_writer(a, b, replication=sides.replication, limits=LIMITS)
    assert (again.result, rig.writer()) == ("completed" if opened else "moved", b.name)


def test_a_frozen_database_does_not_hold_the_engine(sides: Sides, rig: Rig):
    a, b = sides.a, sides.b
    frozen: list[int] = []

    def freeze(name: str, moment: Moment) -> None:
        if (name, moment) == ("drain", "before"):
            frozen.append(
                rig.value(b.name, "select pid from pg_stat_activity where application_name like 'pm move@%%'")
            )
            os.kill(frozen[0], signal.SIGSTOP)

    limits = replace(LIMITS, lease_seconds=1.2, barrier_seconds=0.1)
    started = time.monotonic()
    try:
        outcome = sides.move(limits, observer=freeze)
    finally:
        os.kill(frozen[0], signal.SIGCONT)
    assert outcome.result == "aborted"
    assert time.monotonic() - started < 5
    assert rig.writer() == a.name


def test_a_source_that_freezes_once_the_target_is_open_does_not_hold_the_engine(sides: Sides, rig: Rig):
    a, b = sides.a, sides.b
    frozen: list[int] = []

    def freeze(name: str, moment: Moment) -> None:
        if (name, moment) == ("release", "before"):
            frozen.append(
                rig.value(a.name, "select pid from pg_stat_activity where application_name like 'pm barrier@%%'")
            )
            os.kill(frozen[0], signal.SIGSTOP)

    limits = replace(LIMITS, recovery_seconds=1)
    started = time.monotonic()
    try:
        outcome = sides.move(limits, observer=freeze)
    finally:
        os.kill(frozen[0], signal.SIGCONT)
    assert (outcome.result, rig.writer()) == ("moved", b.name)
    assert time.monotonic() - started < 10


def test_a_second_engine_is_refused_and_told_about_the_first(sides: Sides):
    inside, leave = threading.Event(), threading.Event()

    def hold(name: str, moment: Moment) -> None:
        if (name, moment) == ("preflight", "before"):
            inside.set()
            leave.wait(10)

    a, b = sides.a, sides.b
    first = threading.Thread(
        target=lambda: move_writer(a, b, replication=sides.replication, limits=LIMITS, observer=hold)
    )
    first.start()
    try:
        assert inside.wait(10)
        second = move_writer(b, a, replication=sides.replication, limits=LIMITS)
        assert second.result == "refused"
        assert "another pm works on source: 'pm move@" in second.reason
        assert f":{os.getpid()}', server pid " in second.reason
        assert "from 127.0.0.1, since 20" in second.reason
        with pytest.raises(EngineBusyError, match="another pm works on"):
            with engine_lock(a, b, shared=True, timeout_seconds=0.1):
                pass
    finally:
        leave.set()
        first.join()


def test_a_reader_keeps_moves_away_but_not_other_readers(sides: Sides):
    with engine_lock(sides.a, sides.b, shared=True), engine_lock(sides.b, sides.a, shared=True):
        assert marker_round_trip(sides.a, sides.b, timeout_seconds=5) < 5
        assert sides.move().result == "refused"


def test_marker_round_trip_needs_the_writer_and_a_stream(sides: Sides, rig: Rig):
    with pytest.raises(RefusedError, match=f"{sides.b.name} is not the open writer"):
        marker_round_trip(sides.b, sides.a, timeout_seconds=1)
    with stopped_apply(sides), pytest.raises(MarkerTimeoutError, match=r"within 0\.2 s"):
        marker_round_trip(sides.a, sides.b, timeout_seconds=0.2)


def test_sequences_follow_the_writer_and_never_go_back(sides: Sides, rig: Rig):
    a, b = sides.a, sides.b
    rig.query(a.name, "create sequence fresh owned by none")
    rig.query(b.name, "create sequence fresh owned by none")
    rig.query(a.name, "select setval('ledger_transaction_id', 1000), setval('\"Count Down\"', -50)")
    rig.query(b.name, "select setval('payments_id_seq', 5000), setval('\"Count Down\"', -20)")
    assert sides.move().result == "moved"
    assert rig.value(b.name, "select nextval('ledger_transaction_id')") == 1001
    assert rig.value(b.name, "select nextval('payments_id_seq')") == 5001
    assert rig.value(b.name, "select nextval('\"Count Down\"')") == -51
    assert rig.value(b.name, "select nextval('fresh')") == 1
    for name in ENVIRONMENTS:
        rig.query(name, "drop sequence fresh")


class LateStart(NativeReplication):
    """Begins where it is now, not where it was told: what was written since the opening never arrives."""

    def start_from(self, b: Database, a: Database, lsn: str) -> bool:
        now = self.rig.value(b.name, "select pg_current_wal_insert_lsn()::text")
        assert now != lsn
        return super().start_from(b, a, now)


def test_replication_that_begins_too_late_is_a_dead_end(sides: Sides, rig: Rig):
    a, b = sides.a, sides.b
    outcome = move_writer(a, b, replication=LateStart(rig), limits=LIMITS)
    assert outcome.result == "unfinished"
    assert f"replication {b.name} -> {a.name} began later than at" in outcome.reason
    assert rig.writer() == b.name
    refused = move_writer(b, a, replication=sides.replication, limits=LIMITS)
    assert refused.result == "refused"
    assert f"{a.name} lacks the first writes of {b.name} and must not become the writer" in refused.reason
    token = rig.value(b.name, "select token from pm_control.handoff order by epoch desc limit 1")
    rig.query(a.name, "insert into pm_control.marker (token) values (%s)", token)
    assert move_writer(b, a, replication=sides.replication, limits=LIMITS).result == "moved"


def test_words_that_the_protocol_cannot_have_made_need_a_person(sides: Sides, rig: Rig):
    word = read_state(sides.b).word
    a, b = sides.a, sides.b
    rig.query(b.name, "select setval('pm_control.fence', %s)", read_state(a).word)
    outcome = move_writer(a, b, replication=sides.replication, limits=LIMITS)
    rig.query(b.name, "select setval('pm_control.fence', %s)", word)
    assert outcome.result == "unfinished"
    assert "out of order" in outcome.reason


def test_an_unreachable_database_is_refused_without_its_password(sides: Sides):
    gone = replace(sides.b, port=1)
    outcome = move_writer(sides.a, gone, replication=sides.replication, limits=LIMITS)
    assert outcome.result == "refused"
    assert f"cannot connect to {gone.name} (pm_cutover@127.0.0.1:1/payments)" in outcome.reason
    assert gone.password not in outcome.reason + repr(gone) + str(gone)
    with pytest.raises(DatabaseUnreachableError):
        gone.connect()


@pytest.mark.parametrize("name", ["lease_seconds", "drain_seconds", "max_lag_seconds"])
def test_limits_are_positive(name: str):
    with pytest.raises(ValueError, match=f"{name} is 0"):
        Limits(**{name: 0})


def test_lease_must_outlast_barrier_and_drain():
    with pytest.raises(ValueError, match="before the drain ends"):
        Limits(lease_seconds=2, drain_seconds=2)


def test_tables_of_the_rig_are_all_fenced(rig: Rig):
    assert rig.value("source", "select count(*) from pg_trigger where tgname = 'pm_fence'") == len(TABLES)
