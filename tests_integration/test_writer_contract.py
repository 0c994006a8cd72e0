"""pm-writer and the payment service against the engine's own control schema: neither imports the other."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from pm_cutover import control
from pm_cutover.database import Database, Environment
from pm_payments import Ledger, schema
from pm_payments.ledger import WARM
from pm_postgres import PostgresServer
from pm_writer import Candidate, WriterPool, WriterView

TABLES = ("public.accounts", "public.payments", "public.refunds", "public.ledger_entries")
ROLES = """
create role pm_owner;
create role pm_app login password 'app';
create role pm_cutover login password 'cutover' in role pm_owner;
grant create on database postgres to pm_cutover;
grant create on schema public to pm_owner;
set role pm_owner;
alter default privileges grant select, insert, update, delete on tables to pm_app;
alter default privileges grant usage on sequences to pm_app;
"""
ACCOUNTS = """
insert into accounts (id, kind, holder, currency) values (1, 'settlement', 'us', 'EUR'), (2, 'customer', 'ann', 'EUR')
"""


class Side:
    def __init__(self, name: Environment, server: PostgresServer) -> None:
        self.name = name
        self.server = server
        self.engine = Database(
            name=name,
            host=server.host,
            port=server.port,
            dbname="postgres",
            user="pm_cutover",
            password="cutover",
            ssl_mode="disable",
        )
        with psycopg.connect(**server.conninfo()) as connection:
            connection.execute(ROLES)
            connection.execute(schema())
            connection.execute(ACCOUNTS)

    async def parameters(self, *, refresh: bool = False) -> Mapping[str, Any]:  # noqa: ARG002 - nothing rotates here
        return self.server.conninfo(user="pm_app", password="app")

    def keys(self) -> list[UUID]:
        with psycopg.connect(**self.server.conninfo()) as connection:
            return [key for (key,) in connection.execute("select idempotency_key from payments order by id")]


@pytest.fixture
def sides() -> Iterator[tuple[Side, Side]]:
    with PostgresServer(password="secret", settings={"fsync": "off"}) as one:
        with PostgresServer(password="secret", settings={"fsync": "off"}) as other:
            yield Side("source", one), Side("target", other)


@contextmanager
def fenced(side: Side, epoch: int, lease_ms: int = 3000) -> Iterator[psycopg.Connection[Any]]:
    """The engine's steps 3 and 4: fence, then wait for the writes in flight."""
    with side.engine.connect() as connection:
        connection.execute("select pm_control.fence(%s, %s)", (epoch, lease_ms))
        connection.execute("select pg_advisory_lock(7741)")
        yield connection


def move(old: Side, new: Side, epoch: int) -> None:
    with fenced(old, epoch) as connection, new.engine.connect() as opening:
        connection.execute("select pm_control.seal(%s)", (epoch,))
        opening.execute(
            "insert into pm_control.handoff (epoch, start_lsn, token) values (%s, pg_current_wal_lsn(), 'first')",
            (epoch + 1,),
        )
        opening.execute("select pm_control.open(%s)", (epoch + 1,))


def install(sides: tuple[Side, Side]) -> None:
    for side, word in zip(sides, (control.SOURCE_WORD, control.TARGET_WORD), strict=True):
        control.install(side.engine, tables=TABLES, word=word)


def pool_of(sides: tuple[Side, Side]) -> WriterPool:
    candidates = [Candidate(name=side.name, parameters=side.parameters) for side in sides]
    return WriterPool(candidates=candidates, warm=WARM, watch_seconds=0.05)


def test_payments_follow_the_engines_moves_from_before_replicate_until_after_finish(sides: tuple[Side, Side]) -> None:
    source, target = sides
    paid: list[UUID] = []
    writers: list[WriterView | None] = []

    async def pay(ledger: Ledger, stop: asyncio.Event) -> None:
        while not stop.is_set():
            key = uuid4()
            payment, _ = await ledger.create(key=key, account_id=2, amount=Decimal("1.00"), currency="EUR")
            assert payment.idempotency_key == key
            paid.append(key)

    async def test() -> None:
        stop = asyncio.Event()
        async with pool_of(sides) as pool, asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(pay(Ledger(pool), stop))

            async def settled() -> None:
                await asyncio.sleep(0.3)
                writers.append(pool.writer)

            await settled()
            await asyncio.to_thread(install, sides)
            await settled()
            await asyncio.to_thread(move, source, target, 1)
            await settled()
            await asyncio.to_thread(control.remove, target.engine, word=20)  # epoch 2, open
            await settled()
            stop.set()

    asyncio.run(asyncio.wait_for(test(), 60))
    assert writers == [
        WriterView(name="source", epoch=None),
        WriterView(name="source", epoch=1),
        WriterView(name="target", epoch=2),
        WriterView(name="target", epoch=None),
    ]
    on_source, on_target = set(source.keys()), set(target.keys())
    assert on_source.isdisjoint(on_target)
    assert on_source | on_target == set(paid)


def test_payments_wait_for_the_lease_of_an_engine_that_died(sides: tuple[Side, Side]) -> None:
    source, _ = sides

    async def test() -> None:
        install(sides)
        async with pool_of(sides) as pool:
            with fenced(source, 1, lease_ms=600):
                pass  # the engine dies here: its session ends, its fence stays
            began = time.monotonic()
            await Ledger(pool).create(key=uuid4(), account_id=2, amount=Decimal("1.00"), currency="EUR")
            assert 0.3 < time.monotonic() - began < 2.0

    asyncio.run(asyncio.wait_for(test(), 60))
    assert len(source.keys()) == 1


def test_plain_sql_on_the_closed_side_is_refused_by_the_database(sides: tuple[Side, Side]) -> None:
    install(sides)
    with psycopg.connect(**sides[1].server.conninfo(user="pm_app", password="app")) as connection:
        with pytest.raises(psycopg.Error, match="sealed") as refused:
            connection.execute("delete from payments")
    assert refused.value.sqlstate == "PF001"
