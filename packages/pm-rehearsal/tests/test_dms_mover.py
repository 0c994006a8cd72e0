"""The data mover between two real PostgreSQL servers."""

import dataclasses
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from pm_postgres import PostgresServer
from pm_rehearsal.cloud.dms import control_tables, validator
from pm_rehearsal.cloud.dms.checks import TaskError
from pm_rehearsal.cloud.dms.logins import Login, Side
from pm_rehearsal.cloud.dms.mappings import parse_mappings
from pm_rehearsal.cloud.dms.mover import Mover, Plan, object_name
from pm_rehearsal.cloud.dms.progress import Progress
from pm_rehearsal.cloud.dms.run import Metrics, Run
from pm_rehearsal.cloud.dms.settings import TaskSettings, Validation
from pm_rehearsal.cloud.dms.validation import Verdict

SETTINGS = {
    "wal_level": "logical",
    "shared_buffers": "16MB",
    "max_worker_processes": "16",
    "wal_retrieve_retry_interval": "200ms",
}
SCHEMA = """
CREATE ROLE rds_replication;
CREATE ROLE pm_owner;
-- RDS gives this right by membership; the embedded RDS keeps the attribute in step with it.
CREATE ROLE pm_dms LOGIN REPLICATION PASSWORD 'dms-secret' IN ROLE pm_owner, rds_replication;
GRANT SET ON PARAMETER session_replication_role TO pm_dms;
GRANT CREATE, USAGE ON SCHEMA public TO pm_owner;
SET ROLE pm_owner;
CREATE TABLE accounts (id bigint PRIMARY KEY, name varchar(50) NOT NULL);
CREATE TABLE payments (id bigint PRIMARY KEY, account_id bigint NOT NULL REFERENCES accounts, amount numeric NOT NULL);
CREATE TABLE unmapped (id bigint PRIMARY KEY);
RESET ROLE;
"""
REPLICA = "SET session_replication_role = 'replica'"
Pair = tuple[PostgresServer, PostgresServer]


def mappings(*tables: str) -> str:
    rules = [
        {
            "rule-type": "selection",
            "rule-id": str(number),
            "rule-name": str(number),
            "object-locator": {"schema-name": "public", "table-name": table},
            "rule-action": "include",
        }
        for number, table in enumerate(tables, 1)
    ]
    return json.dumps({"rules": rules})


@pytest.fixture(scope="module")
def servers() -> Iterator[Pair]:
    with (
        PostgresServer(password="root-secret", settings=SETTINGS) as a,
        PostgresServer(password="root-secret", settings=SETTINGS) as b,
    ):
        for server in (a, b):
            sql(server, SCHEMA.partition("GRANT CREATE")[0], dbname="postgres")
        yield a, b


@pytest.fixture
def pair(servers: Pair, request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Both servers with a fresh database ``payments``."""
    for server in servers:
        sql(server, "CREATE DATABASE payments", dbname="postgres")
        sql(server, "GRANT CREATE" + SCHEMA.partition("GRANT CREATE")[2])
    yield servers
    for server in servers:
        for (name,) in rows(server, "SELECT subname FROM pg_subscription"):
            sql(server, f"ALTER SUBSCRIPTION {name} DISABLE")
            sql(server, f"ALTER SUBSCRIPTION {name} SET (slot_name = NONE)")
            sql(server, f"DROP SUBSCRIPTION {name}")
    for server in servers:
        until(lambda server=server: not rows(server, "SELECT FROM pg_replication_slots WHERE active"))
        rows(server, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
        sql(server, "DROP DATABASE payments WITH (FORCE)", dbname="postgres")


def rows(server: PostgresServer, query: str, dbname: str = "payments") -> list[tuple[object, ...]]:
    with psycopg.connect(**server.conninfo(dbname=dbname), autocommit=True) as connection:
        return connection.execute(query).fetchall()


def sql(server: PostgresServer, statements: str, dbname: str = "payments") -> None:
    with psycopg.connect(**server.conninfo(dbname=dbname), autocommit=True) as connection:
        connection.execute(statements)


def until(condition: Callable[[], bool], seconds: float = 45.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def side(server: PostgresServer, *, after_connect: str = "") -> Side:
    return Side(
        own=Login.of(server.conninfo(dbname="payments", user="pm_dms", password="dms-secret")),
        admin=Login.of(server.conninfo(dbname="payments")),
        after_connect=after_connect,
    )


def mover(source: PostgresServer, target: PostgresServer, *tables: str, task: str = "load", load: bool = True) -> Mover:
    return Mover(
        Plan(
            name=object_name(task),
            slot=f"pm_{task}",
            source=side(source),
            target=side(target, after_connect=REPLICA),
            mappings=parse_mappings(mappings(*(tables or ("accounts", "payments")))),
            load=load,
        )
    )


def payments(server: PostgresServer) -> list[tuple[object, ...]]:
    return rows(server, "SELECT id, account_id, amount::text FROM payments ORDER BY id")


def pay(server: PostgresServer, number: int) -> None:
    sql(server, f"INSERT INTO payments VALUES ({number}, 1, {number}.50)")


def position(server: PostgresServer) -> str:
    return str(rows(server, "SELECT pg_current_wal_insert_lsn()::text")[0][0])


def make_slot(server: PostgresServer, name: str) -> None:
    rows(server, f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')")


def test_full_load_then_changes_reach_tables_with_foreign_keys_and_nothing_else(pair: Pair) -> None:
    a, b = pair
    sql(a, "INSERT INTO accounts VALUES (1, 'Ada'); INSERT INTO unmapped VALUES (7)")
    for number in range(1, 51):
        pay(a, number)
    moving = mover(a, b)
    moving.begin()
    until(lambda: len(payments(b)) == 50)
    sql(a, "UPDATE payments SET amount = 99 WHERE id = 3; DELETE FROM payments WHERE id = 4")
    sql(a, "INSERT INTO accounts VALUES (2, 'Bob'); INSERT INTO payments VALUES (51, 2, 1)")
    until(lambda: payments(b) == payments(a) and len(payments(b)) == 50)
    assert rows(b, "SELECT name FROM accounts ORDER BY id") == [("Ada",), ("Bob",)]
    assert rows(b, "SELECT id FROM unmapped") == []
    moving.discard()
    assert rows(a, "SELECT slot_name FROM pg_replication_slots") == []
    assert rows(a, "SELECT pubname FROM pg_publication") == []
    assert rows(b, "SELECT subname FROM pg_subscription") == []


def test_a_commit_arrives_within_milliseconds(pair: Pair) -> None:
    a, b = pair
    sql(a, "INSERT INTO accounts VALUES (1, 'Ada')")
    moving = mover(a, b)
    moving.begin()
    until(lambda: bool(rows(b, "SELECT FROM accounts")))
    gaps = []
    with (
        psycopg.connect(**a.conninfo(dbname="payments"), autocommit=True) as source,
        psycopg.connect(**b.conninfo(dbname="payments"), autocommit=True) as target,
    ):
        for number in range(1, 21):
            source.execute("INSERT INTO payments VALUES (%s, 1, 1)", [number])
            committed = time.monotonic()
            while target.execute("SELECT FROM payments WHERE id = %s", [number]).fetchone() is None:
                assert time.monotonic() < committed + 5
            gaps.append(time.monotonic() - committed)
    assert sorted(gaps)[10] < 0.2, gaps


def test_a_stopped_task_goes_on_where_it_stopped(pair: Pair) -> None:
    a, b = pair
    sql(a, "INSERT INTO accounts VALUES (1, 'Ada')")
    moving = mover(a, b)
    moving.begin()
    until(lambda: bool(rows(b, "SELECT FROM accounts")))
    moving.halt()
    # Only the task's own: a table that was being copied keeps another one until the task goes on.
    assert rows(a, f"SELECT active FROM pg_replication_slots WHERE slot_name = '{moving.plan.slot}'") == [(False,)]
    pay(a, 1)
    moving.resume()
    until(lambda: payments(b) == payments(a))
    assert len(payments(b)) == 1


def test_the_writer_moves_there_and_back_and_no_row_is_lost_doubled_or_sent_back(pair: Pair) -> None:
    a, b = pair
    sql(a, "INSERT INTO accounts VALUES (1, 'Ada')")
    make_slot(a, "pm_load")
    load, reverse = mover(a, b), mover(b, a, task="reverse", load=False)
    forward = Mover(dataclasses.replace(mover(a, b, load=False).plan, name="dms_forward"))
    load.begin()
    reverse.prepare()
    forward.prepare()
    for number in range(1, 11):
        pay(a, number)
    until(lambda: len(payments(b)) == 10)

    make_slot(b, "pm_reverse")
    pay(a, 11)  # reaches b after the reverse slot was made: the reverse task must not send it back
    until(lambda: len(payments(b)) == 11)
    handoff = position(b)
    for number in range(12, 21):
        pay(b, number)
    load.halt()
    reverse.begin(position=handoff)
    until(lambda: payments(a) == payments(b))
    sql(b, "UPDATE payments SET amount = 1000 WHERE id = 2")
    until(lambda: payments(a) == payments(b))

    rows(a, "SELECT pg_drop_replication_slot('pm_load')")
    make_slot(a, "pm_load")
    pay(b, 21)
    until(lambda: payments(a) == payments(b))
    handoff = position(a)
    pay(a, 22)
    reverse.halt()
    forward.begin(position=handoff)
    pay(a, 23)
    until(lambda: len(payments(b)) == 23)
    assert payments(a) == payments(b)
    errors = "SELECT sum(apply_error_count), sum(confl_insert_exists) FROM pg_stat_subscription_stats"
    assert rows(a, errors) == rows(b, errors) == [(0, 0)]

    load.discard()  # shares its slot with the forward task, which still reads it
    pay(a, 24)
    until(lambda: payments(a) == payments(b))


def test_the_target_survives_a_crash_without_losing_or_doubling_a_row(pair: Pair) -> None:
    a, b = pair
    sql(a, "INSERT INTO accounts VALUES (1, 'Ada')")
    moving = mover(a, b, task="cdc", load=False)
    moving.prepare()
    make_slot(a, "pm_cdc")
    start = position(a)
    sql(b, "INSERT INTO accounts VALUES (1, 'Ada')")
    moving.begin(position=start)
    for number in range(1, 6):
        pay(a, number)
    until(lambda: len(payments(b)) == 5)
    b.stop(signal.SIGKILL)
    pay(a, 6)
    b.start()
    until(lambda: len(payments(b)) == 6)
    assert payments(a) == payments(b)
    assert rows(b, "SELECT apply_error_count FROM pg_stat_subscription_stats") == [(0,)]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("REVOKE rds_replication FROM pm_dms", "GRANT rds_replication TO pm_dms"),
        ("REVOKE pm_owner FROM pm_dms", "may not read public.accounts"),
        ("ALTER TABLE payments DROP CONSTRAINT payments_pkey", "no primary key"),
        (
            "ALTER TABLE payments DROP CONSTRAINT payments_pkey, ADD tag text DEFAULT 'x', ADD PRIMARY KEY (id, tag)",
            "primary key with a LOB column: public.payments",
        ),
        ("DROP TABLE payments", "public.payments in the table mappings is not on the source"),
        ("ALTER ROLE pm_dms PASSWORD 'other'", "password authentication failed"),
    ],
)
def test_a_source_that_is_not_ready_fails_the_task_before_anything_is_published(
    pair: Pair, spoil: str, message: str
) -> None:
    a, b = pair
    sql(a, spoil)
    try:
        with pytest.raises(TaskError, match=message) as caught:
            mover(a, b).begin()
    finally:
        sql(a, "GRANT rds_replication, pm_owner TO pm_dms; ALTER ROLE pm_dms PASSWORD 'dms-secret'")
    assert "secret" not in str(caught.value)
    assert rows(a, "SELECT pubname FROM pg_publication") == []


def test_a_target_whose_triggers_would_fire_is_refused(pair: Pair) -> None:
    a, b = pair
    moving = mover(a, b)
    plan = dataclasses.replace(moving.plan, target=side(b))
    with pytest.raises(TaskError, match="session_replication_role"):
        Mover(plan).begin()


def test_a_target_that_needs_a_large_object_at_once_is_refused(pair: Pair) -> None:
    a, b = pair
    for server in pair:
        sql(server, "ALTER TABLE accounts ADD note text")
    sql(b, "ALTER TABLE accounts ALTER note SET NOT NULL")
    with pytest.raises(TaskError, match=r"LOB column violates not-null constraint .* public\.accounts"):
        mover(a, b).begin()


@pytest.mark.parametrize("made", ["GENERATED ALWAYS AS IDENTITY", "GENERATED ALWAYS AS (1) STORED"])
def test_a_target_that_generates_a_value_itself_is_refused(pair: Pair, made: str) -> None:
    a, b = pair
    sql(a, "ALTER TABLE accounts ADD number int")
    sql(b, f"ALTER TABLE accounts ADD number int {made}")
    with pytest.raises(TaskError, match=r"always generated, .* public\.accounts"):
        mover(a, b).begin()


def test_a_target_without_the_tables_is_refused(pair: Pair) -> None:
    a, b = pair
    sql(b, "DROP TABLE payments")
    with pytest.raises(TaskError, match=r"not on the target: public\.payments"):
        mover(a, b).begin()


def test_truncating_a_target_with_foreign_keys_fails_as_on_aws(pair: Pair) -> None:
    a, b = pair
    plan = dataclasses.replace(mover(a, b).plan, truncate=True)
    with pytest.raises(TaskError, match="foreign key"):
        Mover(plan).begin()


def test_a_start_position_that_the_slot_no_longer_holds_is_refused(pair: Pair) -> None:
    a, b = pair
    early = position(a)
    moving = mover(a, b, task="cdc", load=False)
    with pytest.raises(TaskError, match="does not exist"):
        moving.begin(position=early)
    sql(a, "INSERT INTO accounts VALUES (1, 'Ada')")
    make_slot(a, "pm_cdc")
    with pytest.raises(TaskError, match="are gone"):
        moving.begin(position=early)
    with pytest.raises(TaskError, match="beyond the end"):
        moving.begin(position="FF/0")


def test_a_start_position_from_before_the_publication_is_refused(pair: Pair) -> None:
    a, b = pair
    make_slot(a, "pm_cdc")
    early = position(a)
    with pytest.raises(TaskError, match="began to publish"):
        mover(a, b, task="cdc", load=False).begin(position=early)


def test_a_slot_of_another_plugin_is_refused(pair: Pair) -> None:
    a, b = pair
    rows(a, "SELECT pg_create_physical_replication_slot('pm_load')")
    with pytest.raises(TaskError, match="pgoutput"):
        mover(a, b).begin()


def test_no_password_reaches_a_server_log(pair: Pair) -> None:
    a, b = pair
    sql(b, "ALTER DATABASE payments SET log_statement = 'all'")
    moving = mover(a, b)
    moving.begin()
    moving.halt()
    moving.resume()
    sql(a, "DROP PUBLICATION dms_load")
    for server in pair:
        assert "root-secret" not in server.log.read_text()


def test_added_latency_holds_changes_back_but_not_the_copy(pair: Pair) -> None:
    a, b = pair
    sql(a, "INSERT INTO accounts VALUES (1, 'Ada')")
    moving = Mover(dataclasses.replace(mover(a, b).plan, latency_seconds=0.5))
    moving.begin()
    until(lambda: bool(rows(b, "SELECT FROM pg_subscription_rel WHERE srsubstate = 'r' HAVING count(*) = 2")))
    pay(a, 1)
    committed = time.monotonic()
    until(lambda: len(payments(b)) == 1)
    assert time.monotonic() - committed >= 0.5
    moving.halt()


def test_a_table_is_loaded_again(pair: Pair) -> None:
    a, b = pair
    sql(a, "INSERT INTO accounts VALUES (1, 'Ada')")
    pay(a, 1)
    moving = Mover(dataclasses.replace(mover(a, b, "payments").plan, truncate=True))
    moving.begin()
    until(lambda: len(payments(b)) == 1)
    sql(b, f"{REPLICA}; UPDATE payments SET amount = 0")
    moving.reload([("public", "payments")])
    until(lambda: payments(b) == payments(a))


VALIDATED = TaskSettings(
    truncate=False,
    capture_truncate=True,
    validation=Validation(failure_delay_minutes=1, failures_at_most=100, table_failures_at_most=2),
    control_schema="public",
)


class Watched:
    """A run with what it reported."""

    def __init__(self, moving: Mover, settings: TaskSettings = VALIDATED) -> None:
        self.progress = Progress(subscription=moving.plan.name, load=moving.plan.load)
        self.metrics: list[Metrics] = []
        self.failures: list[str] = []
        self.run = Run(
            mover=moving,
            progress=self.progress,
            settings=settings,
            task="TASK",
            spawn=self._spawn,
            publish=self.metrics.append,
            fail=self.failures.append,
        )

    @property
    def lag(self) -> float:
        return self.metrics[-1]["CDCLatencyTarget"] if self.metrics else -1.0

    @staticmethod
    def _spawn(name: str, function: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=function, name=name, daemon=True)
        thread.start()
        return thread


@pytest.fixture
def watch() -> Iterator[Callable[[Mover], Watched]]:
    watched: list[Watched] = []

    def start(moving: Mover) -> Watched:
        watched.append(Watched(moving))
        return watched[-1]

    yield start
    for one in watched:
        one.run.stop()


@pytest.fixture
def validated(
    pair: Pair, watch: Callable[[Mover], Watched], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Watched]:
    """Starts a run with one account and three payments whose rows are compared without a rest."""
    monkeypatch.setattr(validator, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(validator, "MINUTE_SECONDS", 0.3)
    a, b = pair

    def start(*tables: str) -> Watched:
        sql(
            a,
            "INSERT INTO accounts VALUES (1, 'Ada'); INSERT INTO payments SELECT n, 1, n FROM generate_series(1, 3) n",
        )
        moving = mover(a, b, *tables)
        moving.begin()
        with moving.plan.target.connect() as target:
            control_tables.ensure(target, "public", validation=True)
        return watch(moving)

    return start


ACCOUNTS, PAYMENTS = ("public", "accounts"), ("public", "payments")


def looked_again(watched: Watched) -> None:
    """Wait until rounds of validation have come and gone that began after now, of four rows or, given up, of one."""
    seen = len(watched.metrics) + 1  # the next ones tell of rounds before
    until(lambda: sum(one["ValidationAttemptedRecordCount"] for one in watched.metrics[seen:]) > 4)


def test_validation_finds_rows_that_differ_writes_them_down_and_looks_again_only_when_told(
    pair: Pair, validated: Callable[..., Watched]
) -> None:
    _, b = pair
    watched = validated()
    assert watched.run.verdict(PAYMENTS) == Verdict(state="Pending validation")
    until(lambda: watched.run.verdict(PAYMENTS) == Verdict(state="Validated"))
    until(lambda: sum(one["ValidationSucceededRecordCount"] for one in watched.metrics) >= 4)
    assert watched.metrics[-1]["ValidationFailedOverallCount"] == 0

    sql(b, f"{REPLICA}; UPDATE payments SET amount = 7 WHERE id = 1; DELETE FROM payments WHERE id = 2")
    until(lambda: watched.run.verdict(PAYMENTS).failed_rows == 2)
    assert watched.run.verdict(PAYMENTS).state == "Mismatched records"
    assert watched.run.verdict(ACCOUNTS).state == "Validated"
    until(lambda: watched.metrics[-1]["ValidationFailedOverallCount"] == 2)
    assert rows(
        b, 'SELECT "TASK_NAME", "TABLE_NAME", "KEY", "FAILURE_TYPE" FROM awsdms_validation_failures_v2 ORDER BY "KEY"'
    ) == [("TASK", "payments", "(1)", "RECORD_DIFF"), ("TASK", "payments", "(2)", "MISSING_TARGET")]

    sql(b, f"{REPLICA}; UPDATE payments SET amount = 1 WHERE id = 1; INSERT INTO payments VALUES (2, 1, 2)")
    watched.run.revalidate(PAYMENTS)
    until(lambda: watched.run.verdict(PAYMENTS) == Verdict(state="Validated"))

    # One failure is not enough to give the table up: it is looked at on and on.
    sql(b, f"{REPLICA}; UPDATE payments SET amount = 7 WHERE id = 1")
    until(lambda: watched.run.verdict(PAYMENTS).failed_rows == 1)
    sql(b, f"{REPLICA}; UPDATE payments SET amount = 1 WHERE id = 1")
    looked_again(watched)
    assert watched.run.verdict(PAYMENTS).failed_rows == 1  # DMS looks at failed rows again when it is told to
    watched.run.revalidate(PAYMENTS)
    until(lambda: watched.run.verdict(PAYMENTS) == Verdict(state="Validated"))


def test_validation_never_takes_rows_under_way_for_different_ones(
    pair: Pair, validated: Callable[..., Watched]
) -> None:
    a, _ = pair
    watched = validated()
    until(lambda: watched.run.verdict(PAYMENTS).state == "Validated")
    deadline = time.monotonic() + 3
    with psycopg.connect(**a.conninfo(dbname="payments"), autocommit=True) as source:
        number = 10
        while time.monotonic() < deadline:
            source.execute("INSERT INTO payments VALUES (%s, 1, 1)", [number])
            source.execute("UPDATE payments SET amount = amount + 1 WHERE id = 1")
            number += 1
            assert watched.run.verdict(PAYMENTS).failed_rows == 0
    until(lambda: watched.run.verdict(PAYMENTS) == Verdict(state="Validated"))


def test_validation_gives_a_table_up_after_as_many_failures_as_its_settings_say(
    pair: Pair, validated: Callable[..., Watched]
) -> None:
    _, b = pair
    watched = validated()
    until(lambda: watched.run.verdict(PAYMENTS).state == "Validated")
    sql(b, f"{REPLICA}; DELETE FROM payments WHERE id < 3")
    until(lambda: watched.run.verdict(PAYMENTS).failed_rows == 2)
    sql(b, f"{REPLICA}; DELETE FROM payments")
    looked_again(watched)
    assert watched.run.verdict(PAYMENTS).failed_rows == 2
    assert watched.run.verdict(ACCOUNTS).state == "Validated"


def test_validation_leaves_out_a_table_whose_key_has_no_bounded_type(
    pair: Pair, validated: Callable[..., Watched]
) -> None:
    for server in pair:
        sql(server, "SET ROLE pm_owner; CREATE TABLE marker (token varchar PRIMARY KEY)")
    watched = validated("marker", "accounts")
    until(lambda: watched.run.verdict(ACCOUNTS).state == "Validated")
    until(lambda: watched.run.verdict(("public", "marker")).state == "No primary key")


def test_control_tables_need_a_schema_and_a_right_on_it(pair: Pair) -> None:
    _, b = pair
    sql(b, "CREATE SCHEMA elsewhere; GRANT USAGE ON SCHEMA elsewhere TO pm_dms")
    with side(b).connect() as target:
        for schema in ("nowhere", "elsewhere"):
            with pytest.raises(TaskError, match=rf"{schema}\.awsdms_apply_exceptions cannot be made .*ControlSchema"):
                control_tables.ensure(target, schema, validation=False)
        sql(b, "GRANT CREATE ON SCHEMA elsewhere TO pm_dms")
        for _ in range(2):
            control_tables.ensure(target, "elsewhere", validation=True)
    assert rows(b, "SELECT relname FROM pg_class WHERE relname LIKE 'awsdms%' AND relkind = 'r' ORDER BY 1") == [
        ("awsdms_apply_exceptions",),
        ("awsdms_validation_failures_v2",),
    ]


def test_lag_grows_while_the_target_is_down_and_falls_when_it_is_back(
    pair: Pair, watch: Callable[[Mover], Watched]
) -> None:
    a, b = pair
    sql(a, "INSERT INTO accounts VALUES (1, 'Ada')")
    moving = mover(a, b)
    moving.begin()
    watched = watch(moving)
    until(lambda: watched.progress.loaded and 0 <= watched.lag < 0.5)
    b.stop(signal.SIGKILL)
    pay(a, 1)
    until(lambda: watched.lag > 1.5)
    b.start()
    until(lambda: 0 <= watched.lag < 0.5)
    pay(a, 2)  # statistics of what arrived in the moment of the crash are lost, as the server's own are
    until(lambda: watched.progress.tables()["public", "payments"].inserts >= 1)
    until(lambda: payments(b) == payments(a))
    assert watched.failures == []


def test_a_slot_that_is_dropped_under_a_running_task_fails_it(pair: Pair, watch: Callable[[Mover], Watched]) -> None:
    a, b = pair
    moving = mover(a, b)
    moving.begin()
    watched = watch(moving)
    moving.interrupt()
    until(lambda: not rows(a, "SELECT FROM pg_replication_slots WHERE active"))
    rows(a, "SELECT pg_drop_replication_slot('pm_load')")
    until(lambda: bool(watched.failures))
    assert "was dropped" in watched.failures[0]
