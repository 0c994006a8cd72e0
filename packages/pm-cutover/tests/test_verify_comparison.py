"""The comparison on two real servers, with and without writes going on."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from cutover_rig import Load, NativeReplication, Rig, running_rig

from pm_cutover.comparison import ComparedTable, TableComparer, TableComparison, comparison_session, describe_table
from pm_cutover.errors import RefusedError
from pm_cutover.protocol import marker_round_trip

KINDS = """
create type mood as enum ('calm', 'angry');
create table kinds (
    region text collate "C", number int, token uuid default gen_random_uuid(),
    mood mood, paid numeric(18, 4), at timestamptz, note json, body bytea, tags text[], primary key (region, token)
);
"""
FILL_KINDS = """
insert into kinds (region, number, token, mood, paid, at, note, body, tags)
select 'region ''' || n % 7, n, md5(n::text)::uuid, 'angry', n / 3.0, timestamptz '2026-01-01' + n * interval '1 hour',
       json_build_object('n', n), decode(md5(n::text), 'hex'), array['a', null, n::text]
  from generate_series(1, 3000) n
"""


@pytest.fixture(scope="module")
def still() -> Iterator[Rig]:
    """Two servers with the same rows, and nothing that writes."""
    with running_rig() as (rig, _):
        rig.query("target", "create type unrelated as enum ('x')")  # so that type ids differ between the servers
        for name in ("source", "target"):
            rig.query(name, KINDS)
            rig.query(name, FILL_KINDS)
            rig.query(name, "insert into accounts select n, 'account ' || n from generate_series(1, 20000) n")
            rig.query(name, "create table keyless (a int)")
        yield rig


def compare(
    rig: Rig, table: str, *, settle: Callable[[], None] = lambda: None, **sizes: int
) -> tuple[TableComparison, ComparedTable]:
    with comparison_session(rig.database("source", "postgres")) as writer:
        with comparison_session(rig.database("target", "postgres")) as follower:
            described = describe_table(writer, follower, table)
            comparer = TableComparer(writer=writer, follower=follower, settle=settle, **sizes)
            return comparer.compare(described), described


def damage(rig: Rig, statement: str) -> None:
    """Change the target as replication would, past fence and triggers."""
    with psycopg.connect(**rig.database("target", "postgres").parameters()) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(statement)


@pytest.mark.parametrize("table", ["public.accounts", "public.kinds", "public.payments"])
def test_equal_tables_compare_equal(still: Rig, table: str) -> None:
    comparison, _ = compare(still, table, chunk_rows=3000)
    assert comparison.equal
    assert comparison.suspects == 0
    assert comparison.rows == still.value("source", f"select count(*) from {table}")


def test_every_kind_of_damage_is_found_by_its_exact_key(still: Rig) -> None:
    damage(
        still,
        "delete from accounts where id in (1, 777, 20000); update accounts set name = 'x' where id in (4500, 4501);"
        "insert into accounts values (0, 'before'), (20001, 'after')",
    )
    try:
        comparison, _ = compare(still, "public.accounts", chunk_rows=3000, leaf_rows=40)
        assert not comparison.equal
        assert set(comparison.mismatches) == {f"id={n}" for n in (0, 1, 777, 4500, 4501, 20000, 20001)}
    finally:
        damage(
            still,
            "delete from accounts where id in (0, 20001, 4500, 4501);"
            "insert into accounts select n, 'account ' || n from unnest(array[1, 777, 4500, 4501, 20000]) n",
        )


def test_rows_are_told_apart_by_composite_text_and_uuid_keys(still: Rig) -> None:
    key = still.query("target", "select region, token from kinds where number = 1234")[0]
    damage(still, "update kinds set note = json_build_object('n', 0) where number = 1234")
    damage(still, "update kinds set mood = 'calm' where number = 2000")
    try:
        comparison, _ = compare(still, "public.kinds", chunk_rows=500, leaf_rows=20)
        assert f"region={key[0]}, token={key[1]}" in comparison.mismatches
        assert len(comparison.mismatches) == 2
    finally:
        damage(still, "update kinds set note = json_build_object('n', number), mood = 'angry'")


def test_a_table_that_is_empty_on_one_side_differs_in_every_row(still: Rig) -> None:
    still.query("source", "create table once (id int primary key); insert into once select generate_series(1, 100)")
    still.query("target", "create table once (id int primary key)")
    comparison, _ = compare(still, "public.once", chunk_rows=30, leaf_rows=10)
    assert len(comparison.mismatches) == 100


@pytest.mark.parametrize(
    ("table", "words"), [("public.keyless", "has no primary key"), ("public.nothing", "does not exist on the source")]
)
def test_a_table_that_cannot_be_compared_is_refused(still: Rig, table: str, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        compare(still, table)


def test_different_columns_are_refused_by_name(still: Rig) -> None:
    still.query("source", "create table wide (id int primary key, a numeric(10, 2))")
    still.query("target", "create table wide (id int primary key, a numeric(10, 4))")
    with pytest.raises(RefusedError, match="column a differs"):
        compare(still, "public.wide")


def test_a_comparing_session_cannot_write(still: Rig) -> None:
    with comparison_session(still.database("source", "postgres")) as session:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            session.execute("delete from accounts")


def test_writes_that_go_on_are_no_mismatch_and_damage_is_still_found(rig: Rig, replication: NativeReplication) -> None:
    def settle() -> None:
        marker_round_trip(rig.source, rig.target, timeout_seconds=10)

    sizes: dict[str, Any] = {"settle": settle, "chunk_rows": 20, "leaf_rows": 5}
    with Load(rig, payments_per_second=150):
        for _ in range(3):
            comparison, _ = compare(rig, "public.payments", **sizes)
            assert comparison.mismatches == ()
        victim = rig.value("target", "select min(id) from payments")
        damage(rig, f"delete from payments where id = {victim}")
        comparison, _ = compare(rig, "public.payments", **sizes)
        assert comparison.mismatches == (f"id={victim}",)
        damage(rig, f"delete from ledger_entries where payment_id = {victim}")
        comparison, _ = compare(rig, "public.ledger_entries", **sizes)
        assert len(comparison.mismatches) == 2


def test_a_row_that_arrives_while_settling_is_no_mismatch(still: Rig) -> None:
    still.query("source", "update accounts set name = 'late' where id = 50")
    try:
        comparison, _ = compare(
            still,
            "public.accounts",
            settle=lambda: damage(still, "update accounts set name = 'late' where id = 50"),
        )
        assert comparison.suspects == 1
        assert comparison.equal
    finally:
        for name in ("source", "target"):
            still.query(name, "update accounts set name = 'account 50' where id = 50")


def test_a_row_that_changes_all_the_time_is_named_as_moving(still: Rig) -> None:
    still.query("source", "update accounts set name = 'hot' where id = 60")
    try:
        comparison, _ = compare(
            still,
            "public.accounts",
            settle=lambda: still.query("source", "update accounts set name = name || '.' where id = 60") and None,
        )
        assert comparison.mismatches == ()
        assert comparison.moving == ("id=60",)
        assert not comparison.equal
    finally:
        still.query("source", "update accounts set name = 'account 60' where id = 60")
