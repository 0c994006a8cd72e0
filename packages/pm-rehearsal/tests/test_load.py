import asyncio
import itertools
import json
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from dnslib import CNAME, QTYPE, RR, SRV, A, DNSRecord

from pm_postgres import free_port
from pm_rehearsal.load import Config, Snapshot, read_book

NAME = "pay.rehearsal.test"


class Service:
    """A payment service without a database, which does what a test wants."""

    def __init__(self, environment: str) -> None:
        self.environment = environment
        self.port = free_port()
        self.payments: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        self.hosts: set[str] = set()
        self.doubles = False
        self.refuses_every = 0
        self._ids = itertools.count(1)
        self._requests = itertools.count(1)

    async def pay(self, request: web.Request) -> web.Response:
        self.hosts.add(request.headers["Host"])
        body = await request.json()
        if self.refuses_every and next(self._requests) % self.refuses_every == 0:
            return self._answer(503, {"error": "no database"})
        known = self.payments.get(body["idempotency_key"])
        if known is None or self.doubles:
            taken = {**body, "id": next(self._ids), "status": "captured", "replayed": known is not None}
            self.payments[body["idempotency_key"]] = taken
            return self._answer(201, taken)
        return self._answer(200, {**known, "replayed": True})

    async def refund(self, request: web.Request) -> web.Response:
        body = await request.json()
        taken = {**body, "id": next(self._ids), "payment_id": int(request.match_info["id"]), "replayed": False}
        self.refunds[body["idempotency_key"]] = taken
        return self._answer(201, taken)

    def _answer(self, status: int, body: dict[str, Any]) -> web.Response:
        return web.json_response(body, status=status, headers={"PM-Environment": self.environment})

    async def start(self) -> web.AppRunner:
        application = web.Application()
        application.add_routes([web.post("/payments", self.pay), web.post("/payments/{id}/refunds", self.refund)])
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        return runner


class Names(asyncio.DatagramProtocol):
    """Answers the weighted name with each service in turn."""

    def __init__(self, services: tuple[Service, ...]) -> None:
        self._ports = {f"{one.environment}.lb.test": one.port for one in services}
        self._turns = itertools.cycle(self._ports)
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        query = DNSRecord.parse(data)
        reply, asked = query.reply(), str(query.q.qname).rstrip(".")
        if query.q.qtype == QTYPE.SRV:
            host = asked.removeprefix("_http._tcp.")
            reply.add_answer(RR(asked, QTYPE.SRV, rdata=SRV(0, 0, self._ports[host], host), ttl=60))
        elif asked == NAME and self._ports:
            host = next(self._turns)
            reply.add_answer(RR(asked, QTYPE.CNAME, rdata=CNAME(host), ttl=60))
            reply.add_answer(RR(host, QTYPE.A, rdata=A("127.0.0.1"), ttl=60))
        assert self._transport is not None
        self._transport.sendto(reply.pack(), addr)


class Load:
    """The load's process."""

    def __init__(self, process: asyncio.subprocess.Process, book: Path) -> None:
        self.process = process
        self.book = book

    async def snapshot(self) -> Snapshot:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        assert line, (await self._complaints()) or "the load ended"
        return Snapshot.from_json(line.decode())

    async def until(self, acknowledged: int) -> Snapshot:
        while (snapshot := await self.snapshot()).acknowledged < acknowledged:
            pass
        return snapshot

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")

    async def stop(self) -> Snapshot:
        self.tell(json.dumps({"command": "stop"}))
        while not (snapshot := await self.snapshot()).stopped:
            pass
        assert await self.process.wait() == 0
        return snapshot

    async def ends(self) -> tuple[int, str]:
        return await self.process.wait(), await self._complaints()

    async def _complaints(self) -> str:
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()


@asynccontextmanager
async def load(book: Path, *services: Service, rate: float = 300.0, config: str | None = None) -> AsyncIterator[Load]:
    loop = asyncio.get_running_loop()
    runners = [await one.start() for one in services]
    names, _ = await loop.create_datagram_endpoint(lambda: Names(services), local_addr=("127.0.0.1", 0))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pm_rehearsal.load"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    running = Load(process, book)
    given = Config(
        dns_host="127.0.0.1",
        dns_port=names.get_extra_info("sockname")[1],
        record_name=NAME,
        rate=rate,
        accounts=(2, 3, 4),
        book=book,
    )
    running.tell(config if config is not None else given.to_json())
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        names.close()
        for runner in runners:
            await runner.cleanup()


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return tmp_path / "book.jsonl"


def run(test: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(40):
            await test

    asyncio.run(limited())


def test_the_book_holds_exactly_what_the_service_took(book: Path):
    source = Service("source")

    async def test() -> None:
        async with load(book, source) as running:
            await running.until(600)
            last = await running.stop()
            assert (last.failed, last.doubled, last.in_flight, last.stopped) == (0, 0, 0, True)
            written = read_book(book)
            assert last.acknowledged == len(written.payments) == len(source.payments)
            assert last.refunds == len(written.refunds) == len(source.refunds)
            assert last.replays == written.replays > 0
            assert last.by_environment == {"source": last.acknowledged}

    run(test())
    for payment in read_book(book).payments:
        taken = source.payments[str(payment.key)]
        assert (payment.id, payment.account_id, str(payment.amount)) == (
            taken["id"],
            taken["account_id"],
            taken["amount"],
        )
        assert payment.sent_at <= payment.acknowledged_at
    assert all(str(one.key) in source.refunds for one in read_book(book).refunds)
    assert 0.02 < len(source.refunds) / len(source.payments) < 0.09
    assert source.hosts == {NAME}


def test_payments_arrive_at_the_rate_however_slow_the_answers(book: Path):
    source = Service("source")
    quick = source.pay

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(0.4)
        return await quick(request)

    source.pay = slow  # type: ignore[method-assign] # the same service, later

    async def test() -> None:
        async with load(book, source, rate=100) as running:
            while (await running.snapshot()).in_flight <= 20:
                pass  # run() sets the deadline
            assert (await running.until(100)).p50_ms > 400
            await running.stop()

    run(test())


def test_weights_show_within_a_second_despite_a_long_ttl(book: Path):
    source, target = Service("source"), Service("target")

    async def test() -> None:
        async with load(book, source, target) as running:
            await running.until(600)
            last = await running.stop()
            assert min(last.by_environment["source"], last.by_environment["target"]) > 0.3 * last.acknowledged

    run(test())


def test_a_refused_request_is_a_failure_and_is_not_repeated(book: Path):
    source = Service("source")
    source.refuses_every = 10

    async def test() -> None:
        async with load(book, source) as running:
            await running.until(200)
            last = await running.stop()
            assert last.failed > 10
            assert "503 from source.lb.test" in last.last_failure

    run(test())
    written = read_book(book)
    failed = {one.key for one in written.failures if one.request == "payment"}
    assert failed
    assert failed.isdisjoint(one.key for one in written.payments)
    assert failed.isdisjoint(map(str, source.payments))


def test_a_key_answered_with_two_payments_is_doubled(book: Path):
    source = Service("source")
    source.doubles = True

    async def test() -> None:
        async with load(book, source) as running:
            await running.until(300)
            last = await running.stop()
            assert last.doubled > 0
            assert last.replays == 0

    run(test())
    first = read_book(book).doubled[0]
    assert first.first_id != first.second_id


def test_a_service_that_is_gone_is_a_failure(book: Path):
    gone = Service("source")

    async def test() -> None:
        async with load(book, Service("other")) as running:  # only for its DNS
            await running.stop()
        names, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Names((gone,)), local_addr=("127.0.0.1", 0)
        )
        async with load(
            book,
            config=Config(
                dns_host="127.0.0.1",
                dns_port=names.get_extra_info("sockname")[1],
                record_name=NAME,
                rate=50,
                accounts=(2,),
                book=book,
            ).to_json(),
        ) as running:
            while (snapshot := await running.snapshot()).failed < 5:
                assert snapshot.acknowledged == 0
            assert "connect" in snapshot.last_failure.lower()
            await running.stop()
        names.close()

    run(test())


def test_snapshot_answers_at_once(book: Path):
    async def test() -> None:
        async with load(book, Service("source")) as running:
            await running.snapshot()
            running.tell(json.dumps({"command": "snapshot"}))
            async with asyncio.timeout(0.45):
                await running.snapshot()
            await running.stop()

    run(test())


def test_the_load_ends_when_whoever_started_it_is_gone(book: Path):
    async def test() -> None:
        async with load(book, Service("source")) as running:
            await running.snapshot()
            assert running.process.stdin is not None
            running.process.stdin.close()
            assert (await running.ends())[0] == 1

    run(test())


@pytest.mark.parametrize(
    ("config", "code", "complaint"),
    [
        ("{", 2, "load: "),
        ('{"rate": 5}', 2, "load: not a configuration of the load"),
        (None, 1, f"load: {NAME} ends at {NAME}, which has no address"),
    ],
)
def test_a_load_that_cannot_start_says_why_in_one_line(book: Path, config: str | None, code: int, complaint: str):
    async def test() -> None:
        async with load(book, config=config) as running:
            found, said = await running.ends()
            assert found == code
            assert said.startswith(complaint)
            assert said.count("\n") == 1

    run(test())


def test_a_configuration_without_accounts_is_refused():
    with pytest.raises(ValueError, match="rate is 5 with 0 accounts and 12 clients"):
        Config(dns_host="127.0.0.1", dns_port=53, record_name=NAME, rate=5, accounts=(), book=Path("book"))
