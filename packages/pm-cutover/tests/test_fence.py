"""What the database itself refuses, whoever writes and however."""

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from cutover_rig import TABLES, Rig, wait_until

from pm_cutover.control import SOURCE_WORD, TARGET_WORD, install, read_state, remove

WRITES = (
    "insert into accounts values (1, 'x')",
    "update accounts set name = 'y'",
    "delete from accounts",
    "truncate accounts, payments",
    "insert into accounts select 1, 'x' where false",
    "select pm_control.admit(0)",
    "select pm_control.admit(1)",
)


@pytest.fixture
def closed(bare_rig: Rig) -> Iterator[Rig]:
    """The source with the word that the target starts with: sealed."""
    install(bare_rig.source, tables=TABLES, word=TARGET_WORD)
    yield bare_rig
    remove(bare_rig.source, word=read_state(bare_rig.source).word)


@pytest.fixture
def opened(bare_rig: Rig) -> Iterator[Rig]:
    install(bare_rig.source, tables=TABLES, word=SOURCE_WORD)
    yield bare_rig
    remove(bare_rig.source, word=read_state(bare_rig.source).word)


def engine(rig: Rig, statement: str) -> None:
    rig.query("source", statement, role="pm_cutover")


@pytest.mark.parametrize("statement", WRITES)
@pytest.mark.parametrize("role", ["pm_app", "pm_owner", "postgres"])
def test_plain_sql_on_the_closed_side_is_refused(closed: Rig, role: str, statement: str):
    if role == "pm_app" and statement.startswith("truncate"):
        pytest.skip("pm_app may not truncate anyway")
    with closed.database("source", "pm_dms" if role == "pm_owner" else role).connect() as connection:
        connection.execute(f"set role {role}")
        with pytest.raises(psycopg.DatabaseError, match="this database is sealed at epoch 0") as refused:
            connection.execute(statement)
    assert refused.value.sqlstate == "PF001"


def test_replication_does_not_write_over_the_open_writer(opened: Rig):
    """A task that replays, or that somebody starts again, after the writer has moved here."""
    opened.query("source", "insert into accounts values (77, 'paid since')")
    with opened.database("source", "pm_dms").connect() as connection:
        connection.execute("set session_replication_role = replica")
        for statement in (
            "insert into accounts values (78, 'old')",
            "update accounts set name = 'old' where id = 77",
            "delete from accounts where id = 77",
        ):
            with pytest.raises(
                psycopg.DatabaseError, match=r"open at epoch 1: replicated \w+ on public.accounts"
            ) as found:
                connection.execute(statement)
            assert found.value.sqlstate == "PF004"
    assert opened.query("source", "delete from accounts returning id, name") == [(77, "paid since")]


def test_replication_passes_the_fence(closed: Rig):
    with closed.database("source", "pm_dms").connect() as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute("insert into accounts values (77, 'applied')")
        assert connection.execute("update accounts set name = 'again' where id = 77").rowcount == 1
        assert connection.execute("delete from accounts where id = 77").rowcount == 1


def test_admission_takes_exactly_the_open_epoch(opened: Rig):
    opened.query("source", "select pm_control.admit(1)", role="pm_app")
    for epoch in (0, 2, None):
        with pytest.raises(
            psycopg.DatabaseError, match="is open at epoch 1, the transaction came for epoch"
        ) as refused:
            opened.query("source", "select pm_control.admit(%s)", epoch, role="pm_app")
        assert refused.value.sqlstate == "PF001"


def test_a_repeatable_read_transaction_older_than_the_fence_is_refused(opened: Rig):
    connection = psycopg.connect(**opened.database("source", "pm_app").parameters())
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with connection:
        connection.execute("select count(*) from accounts")  # its snapshot is taken
        engine(opened, "select pm_control.fence(1, 60000)")
        with pytest.raises(psycopg.DatabaseError, match=r"is fenced at epoch 1: insert on public\.accounts"):
            connection.execute("insert into accounts values (1, 'x')")


def test_the_fence_lifts_itself_when_the_lease_ends(opened: Rig):
    engine(opened, "select pm_control.fence(1, 300)")
    with pytest.raises(psycopg.DatabaseError, match="fenced"):
        opened.query("source", "select pm_control.admit(1)", role="pm_app")
    wait_until(lambda: read_state(opened.source).state == "open", "the lease to end", 2)
    opened.query("source", "select pm_control.admit(1)", role="pm_app")


def test_seal_is_refused_when_the_lease_has_ended(opened: Rig):
    engine(opened, "select pm_control.fence(1, 1)")
    time.sleep(0.01)
    with pytest.raises(psycopg.DatabaseError, match="seal at epoch 1 is refused: this database is open"):
        engine(opened, "select pm_control.seal(1)")
    assert read_state(opened.source).state == "open"


def test_seal_that_finds_the_lease_ended_meanwhile_takes_itself_back(opened: Rig):
    # The clock of word() stands before the lease's end, that of seal() itself behind it.
    engine(opened, "select pm_control.fence(1, 60000)")
    engine(
        opened,
        "create or replace function pm_control.word() returns bigint language plpgsql as "
        "$$begin perform setval('pm_control.lease', 1); return 11; end$$",
    )
    with pytest.raises(psycopg.DatabaseError, match="seal at epoch 1 is refused"):
        engine(opened, "select pm_control.seal(1)")
    assert read_state(opened.source).word == 11


@pytest.mark.parametrize("statement", ["select pm_control.admit(1)", "update accounts set name = name where false"])
def test_the_barrier_waits_for_what_was_admitted(opened: Rig, statement: str):
    passed = threading.Event()

    def barrier() -> None:
        engine(opened, "select pg_advisory_lock(7741)")
        passed.set()

    with psycopg.connect(**opened.database("source", "pm_app").parameters()) as admitted:
        admitted.execute(statement)
        engine(opened, "select pm_control.fence(1, 60000)")
        waiting = threading.Thread(target=barrier)
        waiting.start()
        assert not passed.wait(0.2)
        admitted.rollback()
        assert passed.wait(5)
        waiting.join()
