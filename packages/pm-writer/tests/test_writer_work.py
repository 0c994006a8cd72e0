"""What becomes of the work's own errors."""

import contextlib

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from writer_rig import Database, opened, run, write

from pm_writer import SwallowedError


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
