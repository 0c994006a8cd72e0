import asyncio
import json
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from uuid import uuid4

import aiohttp
import psycopg
import pytest

import pm_payments.server
from pm_payments import Settings, schema, serve
from pm_postgres import PostgresServer, free_port
from pm_writer import Candidate

ACCOUNTS = """
insert into accounts (id, kind, holder, currency) values
    (1, 'settlement', 'us', 'EUR'), (2, 'customer', 'ann', 'EUR'), (3, 'customer', 'ben', 'USD'),
    (4, 'customer', 'cat', 'EUR'), (5, 'settlement', 'us', 'USD')
"""


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    with PostgresServer(password="secret", settings={"fsync": "off"}) as server:
        with psycopg.connect(**server.conninfo()) as connection:
            connection.execute(schema())
            connection.execute(schema())  # again: changes nothing
            connection.execute(ACCOUNTS)
        yield server


@pytest.fixture
def rows(database: PostgresServer) -> Iterator[Any]:
    with psycopg.connect(**database.conninfo(), autocommit=True) as connection:
        yield lambda statement, *values: connection.execute(statement, values).fetchall()


def candidate(name: str, server: PostgresServer) -> Candidate:
    async def parameters(*, refresh: bool = False) -> Mapping[str, Any]:
        return server.conninfo()

    return Candidate(name=name, parameters=parameters)


class Client:
    def __init__(self, session: aiohttp.ClientSession, stop: asyncio.Event, served: "asyncio.Task[None]") -> None:
        self.session, self.stop, self.served = session, stop, served

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self.session.request(method, path, json=body) as response:
            assert response.headers["PM-Environment"] == "target"
            return response.status, await response.json()

    async def pay(self, **changes: Any) -> tuple[int, Any]:
        return await self.ask("POST", "/payments", {**payment(), **changes})


def payment() -> dict[str, Any]:
    return {"idempotency_key": str(uuid4()), "account_id": 2, "amount": "12.30", "currency": "EUR"}


@asynccontextmanager
async def service(*databases: PostgresServer) -> AsyncIterator[Client]:
    settings = Settings(environment="target", candidates=(), bind="127.0.0.1", port=free_port(), tls=False)
    candidates = [candidate(name, server) for name, server in zip(("source", "target"), databases, strict=False)]
    stop = asyncio.Event()
    served = asyncio.create_task(serve(settings, candidates, stop=stop))
    async with aiohttp.ClientSession(f"http://127.0.0.1:{settings.port}") as session:
        while True:
            try:
                async with session.get("/health") as response:
                    assert response.status == 200
                    break
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.02)
        yield Client(session, stop, served)
        stop.set()
        await served


def run(test: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(30):
            await test

    asyncio.run(limited())


@pytest.fixture(autouse=True)
def _drain_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pm_payments.server, "QUIET_SECONDS", 0.1)


def test_payment_is_taken_once_and_moves_money_between_two_accounts(database: PostgresServer, rows: Any):
    body = payment()

    async def test() -> None:
        async with service(database) as client:
            status, first = await client.ask("POST", "/payments", body)
            assert status == 201
            assert first == {**body, "id": first["id"], "status": "captured", "replayed": False}
            status, again = await client.ask("POST", "/payments", body)
            assert (status, again) == (200, {**first, "replayed": True})
            status, found = await client.ask("GET", f"/payments/{first['id']}")
            del first["replayed"]
            assert (status, found) == (200, first)

    run(test())
    entries = rows(
        "select transaction_id, e.account_id, e.amount from ledger_entries e join payments p on p.id = payment_id"
        " where idempotency_key = %s order by e.account_id",
        body["idempotency_key"],
    )
    assert [entry[1:] for entry in entries] == [(1, Decimal("12.30")), (2, Decimal("-12.30"))]
    assert entries[0][0] == entries[1][0]


def test_many_requests_with_one_key_take_one_payment(database: PostgresServer, rows: Any):
    body = payment()

    async def test() -> None:
        async with service(database) as client:
            answers = await asyncio.gather(*(client.ask("POST", "/payments", body) for _ in range(24)))
            assert {answer["id"] for _, answer in answers} == {answers[0][1]["id"]}
            assert sorted(status for status, _ in answers) == [200] * 23 + [201]

    run(test())
    assert rows("select count(*) from payments where idempotency_key = %s", body["idempotency_key"]) == [(1,)]
    entries = "select sum(e.amount), count(*) from ledger_entries e join payments p on p.id = payment_id"
    assert rows(f"{entries} where idempotency_key = %s", body["idempotency_key"]) == [(Decimal(0), 2)]


@pytest.mark.parametrize("change", [{"amount": "12.31"}, {"account_id": 4}, {"currency": "USD", "account_id": 3}])
def test_a_key_with_another_body_is_a_conflict(database: PostgresServer, rows: Any, change: dict[str, Any]):
    body = payment()

    async def test() -> None:
        async with service(database) as client:
            await client.ask("POST", "/payments", body)
            status, answer = await client.ask("POST", "/payments", {**body, **change})
            assert status == 409
            assert body["idempotency_key"] in answer["error"]

    run(test())


def test_refunds_are_taken_once_and_never_exceed_the_payment(database: PostgresServer, rows: Any):
    async def test() -> None:
        async with service(database) as client:
            _, paid = await client.pay(amount="10.00")
            path = f"/payments/{paid['id']}/refunds"
            part = {"idempotency_key": str(uuid4()), "amount": "4"}
            status, first = await client.ask("POST", path, part)
            shown = {"id": first["id"], "payment_id": paid["id"], "amount": "4.00", "replayed": False}
            assert (status, first) == (201, shown)
            assert await client.ask("POST", path, part) == (200, {**shown, "replayed": True})
            assert (await client.ask("POST", path, {**part, "amount": "5"}))[0] == 409
            assert (await client.ask("GET", f"/payments/{paid['id']}"))[1]["status"] == "partially_refunded"
            rest = [client.ask("POST", path, {"idempotency_key": str(uuid4()), "amount": "6"}) for _ in range(5)]
            assert sorted(status for status, _ in await asyncio.gather(*rest)) == [201, 422, 422, 422, 422]
            assert (await client.ask("GET", f"/payments/{paid['id']}"))[1]["status"] == "refunded"
            missing = {"idempotency_key": str(uuid4()), "amount": "1"}
            assert (await client.ask("POST", "/payments/999999/refunds", missing))[0] == 404

    run(test())
    assert rows("select transaction_id from ledger_entries group by 1 having sum(amount) <> 0 or count(*) <> 2") == []


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"idempotency_key": "no uuid"}, 400),
        ({"idempotency_key": 7}, 400),
        ({"amount": "0.00"}, 400),
        ({"amount": "-1"}, 400),
        ({"amount": "1.234"}, 400),
        ({"amount": "1e3"}, 400),
        ({"amount": 12.3}, 400),
        ({"amount": "1" * 17}, 400),
        ({"currency": "eur"}, 400),
        ({"account_id": "2"}, 400),
        ({"account_id": True}, 400),
        ({"account_id": 2**63}, 400),
        ({"account_id": 999999}, 422),
        ({"account_id": 1}, 422),
        ({"account_id": 3}, 422),
    ],
)
def test_bad_requests_are_refused_and_write_nothing(
    database: PostgresServer, rows: Any, change: dict[str, Any], status: int
):
    before = rows("select count(*) from payments")

    async def test() -> None:
        async with service(database) as client:
            found, answer = await client.pay(**change)
            assert found == status
            assert answer["error"]

    run(test())
    assert rows("select count(*) from payments") == before


def test_unknown_paths_and_methods_are_answered_with_the_environment(database: PostgresServer):
    async def test() -> None:
        async with service(database) as client:
            assert (await client.ask("GET", "/nothing"))[0] == 404
            assert (await client.ask("DELETE", "/payments"))[0] == 405
            assert (await client.ask("GET", f"/payments/{10**30}"))[0] == 404
            assert (await client.ask("GET", f"/payments/{'1' * 5000}"))[0] == 404
            assert (await client.ask("POST", "/payments", ["no object"]))[0] == 400
            async with client.session.post("/payments", data="[" * 4000) as nested:
                assert nested.status == 400
            assert (await client.ask("POST", "/payments", {"filler": "x" * 9000}))[0] == 413

    run(test())


def test_without_a_writer_the_answer_is_503_and_safe_to_repeat(
    database: PostgresServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pm_payments.server, "DEADLINE_SECONDS", 0.3)
    dead = PostgresServer(password="secret")

    async def test() -> None:
        async with service(dead) as client:
            async with client.session.post("/payments", json=payment()) as response:
                assert (response.status, response.headers["Retry-After"]) == (503, "1")
            assert await client.ask("GET", "/ready") == (503, {"writer": None, "epoch": None})
            assert (await client.ask("GET", "/health"))[0] == 200

    run(test())
    dead.close()


def test_a_database_that_cannot_is_answered_for_like_one_that_is_not_there(database: PostgresServer):
    body = payment()
    with psycopg.connect(**database.conninfo(), autocommit=True) as operator:
        operator.execute("alter database postgres set lock_timeout = '100ms'")

        async def test() -> None:
            async with service(database) as client:
                with operator.transaction():
                    operator.execute("lock table ledger_entries in exclusive mode")
                    async with client.session.post("/payments", json=body) as response:
                        assert (response.status, response.headers["Retry-After"]) == (503, "1")
                assert (await client.ask("POST", "/payments", body))[0] == 201

        try:
            run(test())
        finally:
            operator.execute("alter database postgres reset lock_timeout")


def test_ready_names_the_writer(database: PostgresServer):
    async def test() -> None:
        async with service(database) as client:
            assert await client.ask("GET", "/ready") == (200, {"writer": "source", "epoch": None})

    run(test())


def test_draining_finishes_what_is_in_flight_and_closes_connections(database: PostgresServer):
    async def test() -> None:
        async with service(database) as client, await psycopg.AsyncConnection.connect(**database.conninfo()) as blocker:
            await blocker.execute("lock table payments")
            paying = asyncio.create_task(client.pay())
            await asyncio.sleep(0.2)
            client.stop.set()
            await asyncio.sleep(0.05)
            async with client.session.get("/health") as response:
                assert (response.status, response.headers["Connection"]) == (503, "close")
            assert not client.served.done()
            await blocker.rollback()
            assert (await paying)[0] == 201
            await client.served

    run(test())


def test_no_log_line_per_request_and_no_secret_in_any(database: PostgresServer, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)

    async def test() -> None:
        async with service(database) as client:
            await client.pay()
            before = len(caplog.records)
            for _ in range(10):
                await client.pay()
            assert [r for r in caplog.records[before:] if r.name.startswith(("pm_", "aiohttp", "asyncio"))] == []

    run(test())
    assert json.dumps([record.getMessage() for record in caplog.records]).count("secret") == 0
