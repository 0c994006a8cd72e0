import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from cutover_rig import TABLES, Rig

from pm_cutover.control import (
    SOURCE_WORD,
    TARGET_WORD,
    ControlError,
    Handoff,
    handoff_of,
    install,
    read_state,
    remove,
)


@pytest.fixture
def fenced(bare_rig: Rig) -> Iterator[Rig]:
    """The control schema on the source, open at epoch 1."""
    install(bare_rig.source, tables=TABLES, word=SOURCE_WORD)
    yield bare_rig
    remove(bare_rig.source, word=read_state(bare_rig.source).word)


def fenced_tables(rig: Rig) -> set[str]:
    rows = rig.query(
        "source", "select tgrelid::regclass::text from pg_trigger where tgname = 'pm_fence' and tgenabled = 'O'"
    )
    return {row[0] for row in rows}


def test_a_database_without_control_schema_says_so(bare_rig: Rig):
    assert not read_state(bare_rig.source).installed


def test_install_opens_the_source_at_epoch_1_and_fences_its_tables(fenced: Rig):
    state = read_state(fenced.source)
    assert (state.installed, state.word, state.epoch, state.state) == (True, 10, 1, "open")
    assert fenced_tables(fenced) == {"accounts", "payments", "ledger_entries"}
    assert fenced.value("source", "select nspowner::regrole::text from pg_namespace where nspname = 'pm_control'") == (
        "pm_cutover"
    )


def test_a_second_install_never_moves_the_word(fenced: Rig):
    install(fenced.source, tables=TABLES, word=TARGET_WORD)
    assert read_state(fenced.source).word == SOURCE_WORD


def test_install_fences_new_tables_partitions_and_tables_whose_trigger_was_disabled(fenced: Rig):
    fenced.query(
        "source",
        "set role pm_owner; create table archive (id int primary key) partition by range (id);"
        "create table archive_1 partition of archive for values from (0) to (10);"
        "alter table accounts disable trigger pm_fence",
    )
    install(fenced.source, tables=(*TABLES, "public.archive"), word=SOURCE_WORD)
    assert fenced_tables(fenced) == {"accounts", "payments", "ledger_entries", "archive", "archive_1"}
    fenced.query("source", "drop table archive")


def test_a_statement_on_the_parent_of_a_fenced_partition_is_refused_too(bare_rig: Rig):
    bare_rig.query(
        "target",
        "set role pm_owner; create table archive (id int primary key) partition by range (id);"
        "create table archive_1 partition of archive for values from (0) to (10)",
    )
    install(bare_rig.target, tables=("public.archive_1",), word=TARGET_WORD)
    for table in ("archive", "archive_1"):
        with pytest.raises(psycopg.DatabaseError, match=f"insert on public.{table} is refused"):
            bare_rig.query("target", f"insert into {table} values (1)")
    remove(bare_rig.target, word=TARGET_WORD)
    bare_rig.query("target", "drop table archive")


def test_install_names_tables_that_do_not_exist(fenced: Rig):
    with pytest.raises(ControlError, match=r"source holds no table public\.nowhere: create the schema"):
        install(fenced.source, tables=("public.payments", "public.nowhere"), word=SOURCE_WORD)
    with pytest.raises(ControlError, match=r"'payments': allowed is schema\.table"):
        install(fenced.source, tables=("payments",), word=SOURCE_WORD)


def test_install_says_which_privilege_is_missing(bare_rig: Rig):
    with pytest.raises(ControlError, match=r"as pm_app: permission denied.*CREATE on the database"):
        install(bare_rig.database("source", "pm_app"), tables=TABLES, word=SOURCE_WORD)


def test_payments_do_not_queue_behind_an_install_that_waits_for_a_long_transaction(bare_rig: Rig):
    delays = []
    stop = threading.Event()

    def pay() -> None:
        with bare_rig.database("source", "pm_app").connect() as connection:
            while not stop.is_set():
                started = time.monotonic()
                connection.execute("update accounts set name = name where false")
                delays.append(time.monotonic() - started)
                time.sleep(0.005)

    with psycopg.connect(**bare_rig.database("source", "pm_app").parameters()) as long:
        long.execute("update accounts set name = name where false")
        payer = threading.Thread(target=pay)
        payer.start()
        try:
            with pytest.raises(ControlError, match=rf"within 1 s: pid {long.info.backend_pid} .*holds a lock"):
                install(bare_rig.source, tables=TABLES, word=SOURCE_WORD, timeout_seconds=1)
        finally:
            stop.set()
            payer.join()
    assert len(delays) > 20
    assert max(delays) < 0.3
    assert not read_state(bare_rig.source).installed


def test_remove_leaves_nothing_behind_and_may_be_repeated(bare_rig: Rig):
    install(bare_rig.source, tables=TABLES, word=SOURCE_WORD)
    remove(bare_rig.source, word=read_state(bare_rig.source).word)
    remove(bare_rig.source, word=read_state(bare_rig.source).word)
    assert fenced_tables(bare_rig) == set()
    assert bare_rig.value("source", "select to_regnamespace('pm_control') is null")


def test_dms_keeps_its_own_tables_in_the_schema_and_they_go_with_it(bare_rig: Rig):
    install(bare_rig.target, tables=TABLES, word=TARGET_WORD)
    bare_rig.query("target", "create table pm_control.awsdms_apply_exceptions (error text)", role="pm_dms")
    # The target is sealed, and DMS writes there all the same: the fence is on payment tables only.
    bare_rig.query("target", "insert into pm_control.awsdms_apply_exceptions values ('e')", role="pm_dms")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        bare_rig.query("target", "create table pm_control.stray (id int)", role="pm_app")
    remove(bare_rig.target, word=TARGET_WORD)
    assert bare_rig.query("target", "select from pg_class where relname like 'awsdms%'") == []


def test_state_tells_how_long_the_lease_holds(fenced: Rig):
    fenced.query("source", "select pm_control.fence(1, 5000)", role="pm_cutover")
    state = read_state(fenced.source)
    assert (state.state, state.word) == ("fenced", 11)
    assert 3 < state.lease_remaining_seconds <= 5
    fenced.query("source", "select pm_control.fence(1, -1)", role="pm_cutover")
    state = read_state(fenced.source)
    assert (state.state, state.word, state.lease_remaining_seconds) == ("open", 11, 0)


def test_handoff_is_read_by_epoch(fenced: Rig):
    fenced.query("source", "insert into pm_control.handoff values (7, '16/B374D848', 'first')", role="pm_cutover")
    with fenced.source.connect() as connection:
        assert handoff_of(connection, epoch=7) == Handoff(start_lsn="16/B374D848", token="first")
        assert handoff_of(connection, epoch=8) is None


def test_nobody_truncates_what_is_replicated(fenced: Rig):
    """On the open side, too: DMS does not repeat it, and the rows would come back with the next move."""
    with pytest.raises(psycopg.DatabaseError, match=r"TRUNCATE on public\.ledger_entries is refused") as caught:
        fenced.query("source", "truncate ledger_entries")
    assert caught.value.sqlstate == "PF003"


@pytest.mark.parametrize(
    "statement",
    [
        "select pm_control.fence(1, 1000)",
        "select pm_control.seal(1)",
        "select pm_control.reopen(1)",
        "select pm_control.open(2)",
        "select setval('pm_control.fence', 20)",
        "select setval('pm_control.lease', 0)",
        "insert into pm_control.marker (token) values ('x')",
        "insert into pm_control.handoff values (2, '0/1', 'first')",
    ],
)
def test_only_the_engine_moves_the_word(fenced: Rig, statement: str):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        fenced.query("source", statement, role="pm_app")
    assert read_state(fenced.source).word == SOURCE_WORD


def test_replication_may_apply_markers(fenced: Rig):
    fenced.query("source", "insert into pm_control.marker (token) values ('applied')", role="pm_dms")
    assert fenced.query("source", "select token from pm_control.marker", role="pm_dms") == [("applied",)]


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("select pm_control.fence(2, 1000)", "fence at epoch 2 is refused: this database is open at epoch 1"),
        ("select pm_control.seal(1)", "seal at epoch 1 is refused: this database is open"),
        ("select pm_control.seal(2)", "seal at epoch 2 is refused"),
        ("select pm_control.reopen(2)", "reopen at epoch 2 is refused"),
        ("select pm_control.open(2)", "open at epoch 2 is refused: this database is open at epoch 1"),
        ("select pm_control.open(0)", "open at epoch 0 is refused"),
    ],
)
def test_each_move_refuses_an_epoch_or_state_that_is_not_its_own(fenced: Rig, statement: str, why: str):
    with pytest.raises(psycopg.DatabaseError, match=why) as refused:
        fenced.query("source", statement, role="pm_cutover")
    assert refused.value.sqlstate == "PF002"
    assert read_state(fenced.source).word == SOURCE_WORD


def test_each_move_may_be_repeated(fenced: Rig):
    def word(statement: str) -> int:
        return int(fenced.value("source", statement, role="pm_cutover"))

    assert [word("select pm_control.fence(1, 9000)") for _ in range(2)] == [11, 11]
    assert [word("select pm_control.seal(1)") for _ in range(2)] == [12, 12]
    assert [word("select pm_control.reopen(1)") for _ in range(2)] == [10, 10]


def test_a_sealed_database_opens_only_with_a_handoff_position(fenced: Rig):
    for statement in ("select pm_control.fence(1, 9000)", "select pm_control.seal(1)"):
        fenced.query("source", statement, role="pm_cutover")
    with pytest.raises(psycopg.DatabaseError, match="no handoff position"):
        fenced.query("source", "select pm_control.open(3)", role="pm_cutover")
    fenced.query("source", "insert into pm_control.handoff values (3, '0/1', 'first')", role="pm_cutover")
    assert fenced.value("source", "select pm_control.open(3)", role="pm_cutover") == 30
    assert fenced.value("source", "select pm_control.open(3)", role="pm_cutover") == 30


def test_removal_is_refused_once_the_writer_has_moved(bare_rig: Rig):
    install(bare_rig.source, tables=TABLES, word=SOURCE_WORD)
    with pytest.raises(ControlError, match="the writer moved meanwhile"):
        remove(bare_rig.source, word=TARGET_WORD)
    assert read_state(bare_rig.source).installed
    remove(bare_rig.source, word=SOURCE_WORD)
    assert not read_state(bare_rig.source).installed
