"""What psycopg takes for prepared the server has prepared, also where a connection was warmed while closed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest
from writer_rig import Database, move, opened, run, write

import pm_writer.pool
from pm_writer import WriterPool, WriterView


@pytest.fixture
def rewarmed(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[[int], Awaitable[None]]:
    """Returns when the closed candidates' connections were warmed so many times more."""
    monkeypatch.setattr(pm_writer.pool, "REWARM_SECONDS", 0.01)
    caplog.set_level(logging.DEBUG, logger="pm_writer")

    async def wait(times: int) -> None:
        caplog.clear()
        while caplog.text.count("warm-up on a closed candidate") < times:  # noqa: ASYNC110 - it logs to nobody else
            await asyncio.sleep(0.01)

    return wait


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
    source: Database, target: Database, rewarmed: Callable[[int], Awaitable[None]]
):
    source.install_fence(10)
    target.install_fence(2)

    async def test() -> None:
        async with opened(source, target, connections=1) as pool:
            await rewarmed(20)
            await asyncio.to_thread(move, source, target, 1)
            cursor = await pool.run(lambda connection: connection.execute("select name from pg_prepared_statements"))
            assert pool.writer == WriterView(name="target", epoch=2)
            assert len(await cursor.fetchall()) <= 2

    run(test())


def test_a_connection_stays_in_use_when_its_database_is_closed_and_opened_again(
    source: Database, target: Database, rewarmed: Callable[[int], Awaitable[None]]
):
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
                await rewarmed(5)

    run(test())
    assert {name: len(found) for name, found in backends.items()} == {"source": 1, "target": 1}
