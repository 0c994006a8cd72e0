"""Which database the pool takes for the writer, and how it follows it."""

import asyncio
import signal
import time
from typing import Any

import pytest
from writer_rig import Database, frozen, move, opened, run, write

from pm_writer import NoWriterError, WriterPool, WriterView


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


def test_candidates_need_names_of_their_own(source: Database):
    with pytest.raises(ValueError, match=r"\['source', 'source'\]: at least one is needed"):
        WriterPool(candidates=[source.candidate, source.candidate])
