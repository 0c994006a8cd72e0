"""What a move finds before anybody has to wait, and refuses."""

import time
from dataclasses import replace

import pytest
from cutover_rig import ENVIRONMENTS, LIMITS, Rig, Sides, stopped_apply, writing_transaction

from pm_cutover.control import SOURCE_WORD, TARGET_WORD, install, read_state
from pm_cutover.database import Environment


def test_dry_run_changes_nothing(sides: Sides, rig: Rig):
    before = [read_state(rig.database(name)) for name in ENVIRONMENTS]
    outcome = sides.move(dry_run=True)
    assert (outcome.result, outcome.reason, outcome.fenced_at) == ("ready", "", None)
    assert [read_state(rig.database(name)) for name in ENVIRONMENTS] == before
    assert rig.query(sides.b.name, "select slot_name from pg_replication_slots") == []


def test_lag_is_refused_before_anything_changes(sides: Sides):
    with stopped_apply(sides):
        outcome = sides.move(replace(LIMITS, lease_seconds=9))
    assert outcome.result == "refused"
    assert f"{sides.a.name} -> {sides.b.name} lag is more than 1 s" in outcome.reason
    assert "wait for replication" in outcome.reason
    assert outcome.fenced_at is None
    assert sides.rig.query(sides.b.name, "select slot_name from pg_replication_slots") == []


def test_stopped_replication_is_refused(sides: Sides, rig: Rig):
    a, b, name = sides.a, sides.b, sides.replication.name(sides.a)
    handoffs = rig.query(a.name, "delete from pm_control.handoff returning epoch, start_lsn::text, token")
    rig.query(b.name, f"alter subscription {name} disable")
    outcome = sides.move()
    rig.query(b.name, f"alter subscription {name} enable")
    for handoff in handoffs:
        rig.query(a.name, "insert into pm_control.handoff values (%s, %s, %s)", *handoff)
    assert (outcome.result, outcome.reason) == ("refused", f"{name} is stopped")


def test_replication_that_an_earlier_move_left_stopped_is_started_first(sides: Sides, rig: Rig):
    assert sides.move().result == "moved"
    rig.query(sides.b.name, f"alter subscription {sides.replication.name(sides.a)} disable")
    assert sides.move().result == "moved"


def test_a_long_transaction_is_refused_by_name(sides: Sides):
    with writing_transaction(sides.a) as transaction:
        pid = transaction.info.backend_pid
        time.sleep(0.3)
        outcome = sides.move()
    assert outcome.result == "refused"
    assert f"pid {pid} (batch), writing for" in outcome.reason


@pytest.mark.parametrize(("writer", "side"), [("source", "source"), ("source", "target"), ("target", "source")])
def test_a_sequence_on_one_side_only_is_refused(sides: Sides, rig: Rig, writer: Environment, side: Environment):
    sides.bring(writer)
    rig.query(side, "create sequence stray")
    outcome = sides.move()
    rig.query(side, "drop sequence stray")
    assert outcome.result == "refused"
    assert f"only on {side}: public.stray" in outcome.reason
    assert "beyond the last of them" in outcome.reason


def test_a_table_that_was_added_to_the_target_does_not_bar_the_way_back(sides: Sides, rig: Rig):
    sides.bring("target")
    rig.query("target", "create table aaa_notes (id bigserial primary key)")
    rig.query("target", "select setval('aaa_notes_id_seq', 70), setval('ledger_transaction_id', 9000)")
    outcome = sides.move()
    left = rig.value("target", "select last_value from aaa_notes_id_seq")
    rig.query("target", "drop table aaa_notes")
    assert (outcome.result, outcome.reason, rig.writer()) == ("moved", "", "source")
    (remark,) = outcome.remarks
    assert "only target has the sequences public.aaa_notes_id_seq" in remark
    assert left == 70
    assert rig.value("source", "select nextval('ledger_transaction_id')") == 9001
    assert sides.move().remarks == ()


def test_a_sequence_that_counts_the_other_way_is_refused_on_the_way_back_too(sides: Sides, rig: Rig):
    sides.bring("target")
    rig.query("target", "create sequence aaa_added; create sequence turned increment -1")
    rig.query("source", "create sequence turned")
    outcome = sides.move()
    rig.query("target", "drop sequence aaa_added, turned")
    rig.query("source", "drop sequence turned")
    assert outcome.result == "refused"
    assert "(counting in different directions: public.turned)" in outcome.reason


def test_a_missing_fence_is_refused(sides: Sides, rig: Rig):
    sides.bring("target")
    rig.query(sides.b.name, "alter table payments disable trigger pm_fence")
    outcome = sides.move()
    rig.query(sides.b.name, "alter table payments enable trigger pm_fence")
    assert outcome.result == "refused"
    assert "differ: payments" in outcome.reason
    assert "make the triggers, or the table, the same on both" in outcome.reason  # the writer has moved before


def test_a_target_that_would_refuse_less_than_the_source_is_refused(sides: Sides, rig: Rig):
    sides.bring("target")
    sides.bring("source")
    rule = "payments_idempotency_key_key"
    rig.query("target", f"alter table payments drop constraint {rule}")
    outcome = sides.move()
    rig.query("target", f"alter table payments add constraint {rule} unique (idempotency_key)")
    assert outcome.result == "refused"
    assert f"target lacks payments: {rule} UNIQUE (idempotency_key)" in outcome.reason
    assert "create it there" in outcome.reason  # the writer has moved before, so that pm replicate does nothing


def test_a_rule_that_is_written_in_another_way_is_the_same_rule(sides: Sides, rig: Rig):
    """A dump and its restore move the casts of a list."""
    sides.bring("source")
    word = "varchar(9) default 'paid' constraint known check (state in ('paid', 'back'))"
    rig.query("source", f"alter table payments add state {word}")
    rule = rig.value("source", "select pg_get_constraintdef(oid) from pg_constraint where conname = 'known'")
    rig.query("target", f"alter table payments add state varchar(9) default 'paid', add constraint known {rule}")
    again = rig.value("target", "select pg_get_constraintdef(oid) from pg_constraint where conname = 'known'")
    outcome = sides.move()
    for side in ("source", "target"):
        rig.query(side, "alter table payments drop state")
    assert rule != again, "PostgreSQL writes it the same way by now"
    assert (outcome.result, outcome.reason) == ("moved", "")


def test_a_partition_that_came_since_is_refused(sides: Sides, rig: Rig):
    sides.bring("source")
    parent = (
        "set role pm_owner; create table years (year int primary key) partition by range (year);"
        "create table year_1 partition of years for values from (1) to (2);"
    )
    for side, word in (("source", SOURCE_WORD), ("target", TARGET_WORD)):
        rig.query(side, parent)
        install(rig.database(side), tables=("public.year_1",), word=word)
    rig.query("source", "create table year_2 partition of years for values from (2) to (3)")
    outcome = sides.move()
    rig.query("source", "drop table year_2")
    moved = sides.move()
    for side in ("source", "target"):
        rig.query(side, "drop table years")
    assert outcome.result == "refused"
    assert "source has partitions that are not replicated: year_2" in outcome.reason
    assert moved.result == "moved"


def test_before_the_first_move_pm_replicate_makes_what_is_missing(sides: Sides, rig: Rig):
    sides.bring("source")
    words = {side: read_state(database).word for side, database in (("source", sides.a), ("target", sides.b))}
    for side, word in (("source", SOURCE_WORD), ("target", TARGET_WORD)):
        rig.query(side, "select setval('pm_control.fence', %s)", word)
    rig.query("target", "alter table payments disable trigger pm_fence")
    outcome = sides.move()
    rig.query("target", "alter table payments enable trigger pm_fence")
    for side, word in words.items():
        rig.query(side, "select setval('pm_control.fence', %s)", word)
    assert outcome.result == "refused"
    assert "differ: payments): run pm replicate again" in outcome.reason
