"""Lost connections, frozen servers, refused logins."""

import asyncio
import signal
import time
from collections.abc import Mapping
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from writer_rig import Database, frozen, move, opened, run, write

import pm_writer.pool
from pm_writer import NoWriterError, WriterView


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
    working, defect = target.parameters, True

    async def parameters(*, refresh: bool = False) -> Mapping[str, Any]:
        if defect:
            raise LookupError("a defect")
        return await working(refresh=refresh)

    monkeypatch.setattr(target, "parameters", parameters)

    async def test() -> None:
        nonlocal defect
        async with opened(source, target, watch_seconds=0.1) as pool:
            await write(pool, "without the target")
            defect = False
            await asyncio.to_thread(move, source, target, 1)
            await write(pool, "with it")
            assert pool.writer == WriterView(name="target", epoch=2)

    run(test())
    assert (source.keys(), target.keys()) == (["without the target"], ["with it"])
    assert "LookupError: a defect" in caplog.text


def test_a_defect_of_whoever_is_told_of_the_writer_is_logged(source: Database, caplog: pytest.LogCaptureFixture):
    source.install_fence(10)

    def changed(writer: WriterView | None) -> None:
        raise LookupError("a defect")

    async def test() -> None:
        async with opened(source, on_change=changed) as pool:
            await write(pool, "told nobody")

    run(test())
    assert source.keys() == ["told nobody"]
    assert "LookupError: a defect" in caplog.text


def test_a_start_that_is_given_up_leaves_no_connections(
    source: Database, target: Database, monkeypatch: pytest.MonkeyPatch
):
    async def hanging(*, refresh: bool = False) -> Mapping[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(target, "parameters", hanging)
    sessions = "select count(*) from pg_stat_activity where application_name = 'service'"

    async def test() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5), opened(source, target):  # without a fence it waits a second for the target
                pass
        while source.execute(sessions) != [(0,)]:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.02)

    run(test(), seconds=10)
