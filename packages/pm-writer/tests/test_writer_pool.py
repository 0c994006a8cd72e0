import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

import pm_writer.pool
from pm_postgres import PostgresServer
from pm_writer import Candidate, CredentialsError, NoWriterError, SwallowedError, WriterPool, WriterView

CONTROL = (Path(__file__).parent / "control.sql").read_text()
WARM = (("insert into written (key) select 'warm' where false", ()),)
SCHEMA = """
drop schema if exists pm_control cascade;
drop table if exists written;
create table written (key text primary key, at timestamptz not null default clock_timestamp());
alter role app password 'app' connection limit -1;
alter role app reset all;
grant all on written to app;
"""


class Database:
    """One server's application database, as the tests and as the service see it."""

    def __init__(self, name: str, server: PostgresServer) -> None:
        self.name = name
        self.server = server
        self.password = "app"
        self.asked: list[bool] = []
        self.provider_is_down = False

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(**self.server.conninfo(), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def reset(self) -> None:
        self.password = "app"
        self.asked.clear()
        self.provider_is_down = False
        self.execute(SCHEMA)

    def install_fence(self, word: int) -> None:
        self.execute(CONTROL.replace("{word}", str(word)))

    def remove_fence(self) -> None:
        self.execute("drop schema pm_control cascade")

    def set_word(self, word: int) -> None:
        self.execute(f"select setval('pm_control.fence', {word})")

    def keys(self) -> list[str]:
        return [key for (key,) in self.execute("select key from written order by at")]

    async def parameters(self, *, refresh: bool = False) -> Mapping[str, Any]:
        self.asked.append(refresh)
        if self.provider_is_down:
            raise CredentialsError("the secret store does not answer")
        return self.server.conninfo(user="app", password=self.password, application_name="service")

    @property
    def candidate(self) -> Candidate:
        return Candidate(name=self.name, parameters=self.parameters)


@pytest.fixture(scope="session")
def servers() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    settings = {"fsync": "off", "max_connections": "60"}
    with PostgresServer(password="secret", settings=settings) as one:
        with PostgresServer(password="secret", settings=settings) as other:
            for server in (one, other):
                with psycopg.connect(**server.conninfo(), autocommit=True) as connection:
                    connection.execute("create role app login password 'app'")
            yield one, other


@pytest.fixture
def source(servers: tuple[PostgresServer, PostgresServer]) -> Database:
    database = Database("source", servers[0])
    database.reset()
    return database


@pytest.fixture
def target(servers: tuple[PostgresServer, PostgresServer]) -> Database:
    database = Database("target", servers[1])
    database.reset()
    return database


@contextlib.asynccontextmanager
async def opened(*databases: Database, deadline_seconds: float = 5.0, **options: Any) -> AsyncIterator[WriterPool]:
    options = {"connections": 3, "warm": WARM, **options}
    pool = WriterPool(candidates=[one.candidate for one in databases], deadline_seconds=deadline_seconds, **options)
    async with pool:
        yield pool


async def write(pool: WriterPool, key: str) -> None:
    """An idempotent write."""
    statement = "insert into written (key) values (%s) on conflict do nothing"
    await pool.run(lambda connection: connection.execute(statement, (key,)))


@contextlib.contextmanager
def frozen(database: Database) -> Iterator[None]:
    """The whole server stands still: connections stay, nobody answers."""
    assert database.server.process is not None
    backends = [pid for (pid,) in database.execute("select pid from pg_stat_activity where pid <> pg_backend_pid()")]
    processes = [database.server.process.pid, *backends]
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)


def run(test: Coroutine[Any, Any, None], seconds: float = 30.0) -> None:
    async def limited() -> None:
        async with asyncio.timeout(seconds):
            await test

    asyncio.run(limited())


# --- finding the writer


def test_before_replicate_the_source_is_the_writer_without_a_fence(source: Database, target: Database):
    async def test() -> None:
        async with opened(source, target) as pool:
            assert pool.writer == WriterView(name="source", epoch=None)
            await write(pool, "a")

    run(test())
    assert source.keys() == ["a"]


def test_open_source_admits_writes_at_its_epoch(source: Database, target: Database):
    source.install_fence(10)
    target.install_fence(2)

    async def test() -> None:
        async with opened(source, target) as pool:
            assert pool.writer == WriterView(name="source", epoch=1)
            await write(pool, "a")

    run(test())
    assert (source.keys(), target.keys()) == (["a"], [])


def test_a_dead_target_hinders_neither_start_nor_writes(source: Database, target: Database):
    target.server.stop(signal.SIGKILL)

    async def test() -> None:
        started = time.monotonic()
        async with opened(source, target) as pool:
            await write(pool, "a")
            assert time.monotonic() - started < 1.5

    try:
        run(test())
    finally:
        target.server.start()
    assert source.keys() == ["a"]


def test_a_frozen_target_hinders_neither_start_nor_writes(source: Database, target: Database):
    source.install_fence(10)

    async def test() -> None:
        started = time.monotonic()
        async with opened(source, target) as pool:
            await write(pool, "a")
            assert time.monotonic() - started < 4

    with frozen(target):
        run(test())
    assert source.keys() == ["a"]


def test_a_dead_source_does_not_make_an_unfenced_target_the_writer(source: Database, target: Database):
    source.server.stop(signal.SIGKILL)

    async def test() -> None:
        async with opened(source, target, deadline_seconds=0.5) as pool:
            with pytest.raises(NoWriterError, match=r"source: unreachable .*; target: unfenced"):
                await write(pool, "a")

    try:
        run(test())
    finally:
        source.server.start()
    assert target.keys() == []


# --- moves of the writer


def move(old: Database, new: Database, epoch: int, pause_seconds: float = 0.0) -> None:
    """The engine's move, with plain SQL: fence, barrier, seal, open."""
    old.set_word(epoch * 10 + 2)
    with psycopg.connect(**old.server.conninfo(), autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(7741)")
        time.sleep(pause_seconds)
        new.set_word((epoch + 1) * 10)


def test_writes_follow_the_writer_there_and_back_without_a_failure(source: Database, target: Database):
    source.install_fence(10)
    target.install_fence(2)
    keys: list[str] = []

    async def writer(pool: WriterPool, number: int, stop: asyncio.Event) -> None:
        while not stop.is_set():
            key = f"{number}-{len(keys)}"
            await write(pool, key)
            keys.append(key)

    async def test() -> None:
        stop = asyncio.Event()
        async with opened(source, target) as pool, asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(writer(pool, number, stop))
            for old, new, epoch in ((source, target, 1), (target, source, 2)):
                await asyncio.sleep(0.2)
                await asyncio.to_thread(move, old, new, epoch, 0.1)
            await asyncio.sleep(0.2)
            stop.set()
            assert pool.writer == WriterView(name="source", epoch=3)
            assert pool.counters.fenced > 0

    run(test())
    on_source, on_target = source.keys(), target.keys()
    assert len(on_source) + len(on_target) == len(set(on_source) | set(on_target))
    assert set(keys) == set(on_source) | set(on_target)
    assert on_target


def test_a_read_is_admitted_too_and_never_answered_by_the_former_writer(source: Database, target: Database):
    source.install_fence(10)
    target.install_fence(2)

    async def keys(pool: WriterPool) -> list[tuple[Any, ...]]:
        cursor = await pool.run(lambda connection: connection.execute("select key from written"))
        return await cursor.fetchall()

    async def test() -> None:
        async with opened(source, target, watch_seconds=60) as pool:
            await write(pool, "a")
            assert await keys(pool) == [("a",)]
            move(source, target, 1)
            assert await keys(pool) == []

    run(test())


def test_a_fence_whose_lease_ends_lets_waiting_writes_pass(source: Database, target: Database):
    source.install_fence(10)
    target.install_fence(2)

    async def test() -> None:
        async with opened(source, target) as pool:
            source.execute(
                "select setval('pm_control.lease', (extract(epoch from clock_timestamp()) * 1000)::bigint + 400),"
                " setval('pm_control.fence', 11)"
            )
            started = time.monotonic()
            await write(pool, "a")
            assert 0.3 < time.monotonic() - started < 1.0

    run(test())
    assert source.keys() == ["a"]


def test_no_writer_within_the_deadline_says_what_each_candidate_is(source: Database, target: Database):
    source.install_fence(12)
    target.install_fence(2)

    async def test() -> None:
        async with opened(source, target, deadline_seconds=0.3) as pool:
            assert pool.writer is None
            with pytest.raises(NoWriterError, match=r"0\.3 s \(source: sealed at epoch 1; target: sealed at epoch 0\)"):
                await write(pool, "a")

    run(test())


def test_a_fence_installed_in_mid_flight_is_noticed(source: Database, target: Database):
    async def test() -> None:
        async with opened(source, target, watch_seconds=60) as pool:
            await write(pool, "before")
            source.install_fence(12)
            target.install_fence(20)
            await write(pool, "after")
            assert pool.writer == WriterView(name="target", epoch=2)

    run(test())
    assert (source.keys(), target.keys()) == (["before"], ["after"])


def test_a_fence_removed_in_mid_flight_is_noticed(source: Database, target: Database):
    source.install_fence(12)
    target.install_fence(20)

    async def test() -> None:
        async with opened(source, target, watch_seconds=60) as pool:
            for number in range(6):
                await write(pool, f"before-{number}")
            target.remove_fence()
            await write(pool, "after")
            assert pool.writer == WriterView(name="target", epoch=None)

    run(test())
    assert target.keys()[-1] == "after"


# --- lost connections, frozen servers, refused logins


def test_terminated_connections_are_replaced_without_a_failure(source: Database):
    source.install_fence(10)

    async def test() -> None:
        async with opened(source) as pool:
            await write(pool, "a")
            source.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'service'")
            await asyncio.gather(*(write(pool, f"b{number}") for number in range(6)))
            assert pool.counters.reconnects > 0

    run(test())
    assert len(source.keys()) == 7


def test_writes_wait_for_a_crashed_server_to_come_back(source: Database):
    source.install_fence(10)

    async def test() -> None:
        async with opened(source) as pool:
            source.server.stop(signal.SIGKILL)
            writes = [asyncio.create_task(write(pool, f"{number}")) for number in range(6)]
            await asyncio.sleep(0.3)
            await asyncio.to_thread(source.server.start)
            back = time.monotonic()
            await asyncio.gather(*writes)
            assert time.monotonic() - back < 2.0

    run(test())
    assert len(source.keys()) == 6


def test_a_connection_that_dies_in_commit_is_retried(source: Database):
    source.install_fence(10)
    attempts = 0

    async def test() -> None:
        nonlocal attempts

        async def work(connection: AsyncConnection[TupleRow]) -> None:
            nonlocal attempts
            attempts += 1
            await connection.execute("insert into written (key) values ('a') on conflict do nothing")
            if attempts == 1:  # commits here, and then the answer is lost
                await connection.execute("commit")
                await connection.execute("select pg_terminate_backend(pg_backend_pid())")

        async with opened(source) as pool:
            await pool.run(work)

    run(test())
    assert (attempts, source.keys()) == (2, ["a"])


def test_a_frozen_server_is_answered_for_within_the_deadline(source: Database):
    source.install_fence(10)

    async def test() -> None:
        async with opened(source, deadline_seconds=0.5) as pool:
            with frozen(source):
                started = time.monotonic()
                with pytest.raises(NoWriterError):
                    await write(pool, "a")
                assert time.monotonic() - started < 1.0

    run(test())


def test_a_returning_target_is_connected_and_warmed_again(source: Database, target: Database, monkeypatch):
    monkeypatch.setattr(pm_writer.pool, "REWARM_SECONDS", 0.1)
    source.install_fence(10)
    target.install_fence(2)
    target.server.stop(signal.SIGKILL)

    async def test() -> None:
        async with opened(source, target, watch_seconds=0.1) as pool:
            await asyncio.to_thread(target.server.start)
            sessions = "select count(*) from pg_stat_activity where application_name = 'service'"
            while target.execute(sessions) != [(4,)]:  # noqa: ASYNC110 - the server tells nobody; 3 pooled, 1 reads
                await asyncio.sleep(0.05)
            assert pool.writer == WriterView(name="source", epoch=1)

    run(test(), seconds=10)


def test_a_rotated_password_is_read_again(source: Database):
    source.install_fence(10)

    async def test() -> None:
        async with opened(source) as pool:
            await write(pool, "a")
            source.execute("alter role app password 'rotated'")
            source.password = "rotated"
            source.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'service'")
            await asyncio.gather(*(write(pool, f"b{number}") for number in range(6)))
            assert pool.counters.credential_refreshes == 1

    run(test())
    assert source.asked == [False, True]
    assert len(source.keys()) == 7


def test_a_provider_that_is_down_counts_as_a_database_that_is_down(source: Database, target: Database):
    source.install_fence(10)
    target.provider_is_down = True

    async def test() -> None:
        async with opened(source, target) as pool:
            await write(pool, "a")

    run(test())
    assert source.keys() == ["a"]


def test_a_read_only_default_of_the_closed_time_does_not_stick(source: Database, target: Database):
    source.install_fence(10)
    target.install_fence(2)
    target.execute("alter role app set default_transaction_read_only = on")

    async def test() -> None:
        async with opened(source, target) as pool:
            await asyncio.to_thread(move, source, target, 1)
            await write(pool, "a")

    run(test())
    assert target.keys() == ["a"]


# --- the work's own errors


def test_the_works_own_error_is_raised_and_rolled_back(source: Database):
    source.install_fence(10)

    async def work(connection: AsyncConnection[TupleRow]) -> None:
        await connection.execute("insert into written (key) values ('a')")
        await connection.execute("insert into no_such_table values (1)")

    async def test() -> None:
        async with opened(source) as pool:
            with pytest.raises(psycopg.errors.UndefinedTable):
                await pool.run(work)
            with pytest.raises(psycopg.errors.UndefinedFunction):
                await pool.run(lambda connection: connection.execute("select no_such_function()"))
            await write(pool, "b")

    run(test())
    assert source.keys() == ["b"]


@pytest.mark.parametrize("synchronized", [False, True])
def test_a_swallowed_error_is_never_acknowledged(source: Database, synchronized: bool):
    source.install_fence(10)

    async def work(connection: AsyncConnection[TupleRow]) -> None:
        await connection.execute("insert into written (key) values ('a')")
        with contextlib.suppress(psycopg.Error):
            async with connection.pipeline() if synchronized else contextlib.nullcontext():
                await (await connection.execute("select 1 / 0")).fetchone()

    async def test() -> None:
        async with opened(source) as pool:
            with pytest.raises(SwallowedError, match="went on after a database error"):
                await pool.run(work)

    run(test())
    assert source.keys() == []


def test_nested_transactions_are_savepoints(source: Database):
    source.install_fence(10)

    async def work(connection: AsyncConnection[TupleRow]) -> None:
        await connection.execute("insert into written (key) values ('a')")
        with contextlib.suppress(psycopg.errors.DivisionByZero):
            async with connection.transaction():
                await connection.execute("insert into written (key) values ('b')")
                await (await connection.execute("select 1 / 0")).fetchone()

    async def test() -> None:
        async with opened(source) as pool:
            await pool.run(work)

    run(test())
    assert source.keys() == ["a"]


def test_a_conflict_is_retried(source: Database):
    source.install_fence(10)
    attempts = 0

    async def work(connection: AsyncConnection[TupleRow]) -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            await connection.execute("do $$ begin raise exception 'once more' using errcode = '40001'; end $$")
        await connection.execute("insert into written (key) values ('a')")

    async def test() -> None:
        async with opened(source) as pool:
            await pool.run(work)

    run(test())
    assert (attempts, source.keys()) == (3, ["a"])


@pytest.mark.parametrize("successes", [4, 5, 6])
def test_work_that_fails_leaves_a_connection_that_was_warmed_while_closed_usable(
    source: Database, target: Database, successes: int
):
    """Statements that psycopg prepares by counting, at their sixth use, are lost in a pipeline that fails then."""
    source.install_fence(10)
    target.install_fence(2)

    async def test() -> None:
        async with opened(source, target, connections=1) as pool:
            await asyncio.to_thread(move, source, target, 1)
            for number in range(successes):
                await write(pool, f"before-{number}")
            with pytest.raises(psycopg.errors.NotNullViolation):
                await pool.run(lambda connection: connection.execute("insert into written (key) values (null)"))
            for number in range(3):
                await write(pool, f"after-{number}")
            assert pool.counters.reconnects == 0

    run(test())


def test_a_connection_whose_prepared_statements_are_gone_is_replaced(source: Database):
    source.install_fence(10)

    async def test() -> None:
        async with opened(source, connections=1) as pool:
            await write(pool, "one")
            # Behind psycopg's back, which reads what a statement did in its tag.
            await pool.run(lambda connection: connection.execute("do $$ begin execute 'deallocate all'; end $$"))
            await write(pool, "two")

    run(test())
    assert source.keys() == ["one", "two"]


def test_warming_closed_candidates_leaves_nothing_behind(
    source: Database, target: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(pm_writer.pool, "REWARM_SECONDS", 0.01)
    caplog.set_level(logging.DEBUG, logger="pm_writer")
    source.install_fence(10)
    target.install_fence(2)

    async def test() -> None:
        async with opened(source, target, connections=1) as pool:
            while caplog.text.count("warm-up on a closed candidate") < 20:  # noqa: ASYNC110 - it logs to nobody else
                await asyncio.sleep(0.01)
            await asyncio.to_thread(move, source, target, 1)
            cursor = await pool.run(lambda connection: connection.execute("select name from pg_prepared_statements"))
            assert pool.writer == WriterView(name="target", epoch=2)
            assert len(await cursor.fetchall()) <= 2

    run(test())


def test_a_connection_stays_in_use_when_its_database_is_closed_and_opened_again(
    source: Database, target: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(pm_writer.pool, "REWARM_SECONDS", 0.01)
    caplog.set_level(logging.DEBUG, logger="pm_writer")
    source.install_fence(10)
    target.install_fence(2)

    backends: dict[str, set[Any]] = {"source": set(), "target": set()}

    async def serve(pool: WriterPool) -> None:
        await write(pool, "again")
        cursor = await pool.run(
            lambda connection: connection.execute("select current_setting('port'), pg_backend_pid()")
        )
        assert pool.writer is not None
        backends[pool.writer.name].add(await cursor.fetchone())

    async def test() -> None:
        async with opened(source, target, connections=1) as pool:
            await serve(pool)
            for old, new, epoch in ((source, target, 1), (target, source, 2), (source, target, 3)):
                await asyncio.to_thread(move, old, new, epoch)
                await serve(pool)
                caplog.clear()
                while caplog.text.count("warm-up on a closed candidate") < 5:  # noqa: ASYNC110 - see above
                    await asyncio.sleep(0.01)

    run(test())
    assert {name: len(found) for name, found in backends.items()} == {"source": 1, "target": 1}


def test_lost_connections_are_replaced_at_once_while_the_closed_candidate_hangs(source: Database, target: Database):
    source.install_fence(10)
    target.install_fence(2)

    async def test() -> None:
        async with opened(source, target, deadline_seconds=2.0) as pool:
            with frozen(target):
                source.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'service'"
                )
                for number in range(6):
                    await write(pool, str(number))

    run(test())
    assert source.keys() == list("012345")


def test_a_defect_of_a_provider_counts_as_a_database_that_is_down(
    source: Database, target: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    source.install_fence(10)
    target.install_fence(2)
    working = target.parameters

    async def broken(*, refresh: bool = False) -> Mapping[str, Any]:
        raise LookupError("a defect")

    monkeypatch.setattr(target, "parameters", broken)

    async def test() -> None:
        def changed(writer: WriterView | None) -> None:
            raise LookupError("another defect")

        async with opened(source, on_change=changed) as pool:
            await write(pool, "told nobody")
        pool = WriterPool(candidates=[source.candidate, target.candidate], connections=1, watch_seconds=0.1)
        async with pool:
            await write(pool, "without the target")
            await asyncio.to_thread(source.set_word, 12)
            monkeypatch.setattr(target, "parameters", working)

    run(test())
    assert source.keys() == ["told nobody", "without the target"]
    assert "a defect" in caplog.text
    assert "another defect" in caplog.text


def test_candidates_need_names_of_their_own(source: Database):
    with pytest.raises(ValueError, match=r"\['source', 'source'\]: at least one is needed"):
        WriterPool(candidates=[source.candidate, source.candidate])
