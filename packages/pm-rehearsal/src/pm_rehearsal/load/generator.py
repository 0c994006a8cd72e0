"""Payments that arrive when they arrive (an open loop), with refunds and repetitions, each noted in the book."""

import asyncio
import json
import logging
import random
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

import aiohttp

from pm_rehearsal.load.book import AcknowledgedPayment, AcknowledgedRefund, BookWriter, Doubled, Failure
from pm_rehearsal.load.clients import Clients
from pm_rehearsal.load.messages import Config, Snapshot
from pm_rehearsal.resolver import ResolveError

REQUEST_SECONDS = 10.0
REFUNDED_SHARE = 0.05
REPLAYED_SHARE = 0.02
LATEST_FOLLOW_UP_SECONDS = 2.0
IDLE_SECONDS = 10.0  # shorter than a load balancer keeps an idle connection, so that the client is who closes

logger = logging.getLogger(__name__)


class _RequestError(Exception):
    """No 2xx answer; the message is the reason."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """A 2xx answer."""

    body: dict[str, Any]
    environment: str


class Generator:
    """Sends the load until told to stop.

    Args:
        config: What to send where.
        clients: Say where each request goes; already resolved.
        book: Where acknowledgements are noted.
    """

    def __init__(self, *, config: Config, clients: Clients, book: BookWriter) -> None:
        self._config = config
        self._clients = clients
        self._book = book
        self._choices = random.Random(config.seed)  # noqa: S311 - repeatable on purpose, guards nothing
        self._stopping = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._in_flight = 0
        self._counts: Counter[str] = Counter()
        self._environments: Counter[str] = Counter()
        self._latencies_ms: list[float] = []
        self._last_failure = ""
        self._snapshot_at = time.monotonic()
        self._acknowledged_then = 0
        self._tls = ssl.create_default_context(cafile=config.authority) if config.authority else None
        self._headers = {"Host": config.record_name, "Content-Type": "application/json"}

    def stop(self) -> None:
        """Send no more payments."""
        self._stopping.set()

    async def run(self) -> None:
        """Send payments until `stop`; return when every answer is here or overdue."""
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS)
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            await self._arrivals(session)
            while self._running:
                await asyncio.wait(set(self._running))

    def snapshot(self, *, stopped: bool = False) -> Snapshot:
        """The figures; rate and latencies are those since the previous call."""
        now = time.monotonic()
        acknowledged = self._counts["payment"]
        rate = (acknowledged - self._acknowledged_then) / max(now - self._snapshot_at, 1e-9)
        latencies = sorted(self._latencies_ms)
        self._snapshot_at, self._acknowledged_then, self._latencies_ms = now, acknowledged, []
        return Snapshot(
            acknowledged=acknowledged,
            refunds=self._counts["refund"],
            replays=self._counts["replay"],
            failed=self._counts["failure"],
            doubled=self._counts["doubled"],
            in_flight=self._in_flight,
            rate=round(rate, 1),
            p50_ms=_quantile(latencies, 0.50),
            p99_ms=_quantile(latencies, 0.99),
            by_environment=dict(self._environments),
            last_failure=self._last_failure,
            cpu_seconds=round(time.process_time(), 3),
            stopped=stopped,
        )

    async def _arrivals(self, session: aiohttp.ClientSession) -> None:
        due = time.monotonic()
        while not self._stopping.is_set():
            now = time.monotonic()
            while due <= now:
                self._start(self._pay, session, due)
                due += self._choices.expovariate(self._config.rate)
            await asyncio.sleep(due - time.monotonic())

    def _start(self, send: Callable[..., Any], *arguments: Any) -> None:
        task = asyncio.create_task(send(*arguments))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _pay(self, session: aiohttp.ClientSession, due: float) -> None:
        choices = self._choices
        key = UUID(int=choices.getrandbits(128), version=4)
        amount = Decimal(choices.randint(100, 50_000)).scaleb(-2)
        account = choices.choice(self._config.accounts)
        body = {
            "idempotency_key": str(key),
            "account_id": account,
            "amount": str(amount),
            "currency": "EUR",
        }
        fate = choices.random()
        sent_at = time.time()
        answer = await self._post(session, "payment", key, "/payments", body, due, sent_at)
        if answer is None or self._contradicted("payment", key, answer, body, sent_at):
            return
        # What was asked for, not what the answer says was done: the audit compares it with the databases.
        self._book.payment(
            AcknowledgedPayment(
                key=key,
                id=answer.body["id"],
                account_id=account,
                amount=amount,
                environment=answer.environment,
                sent_at=sent_at,
                acknowledged_at=time.time(),
            )
        )
        self._counts["payment"] += 1
        self._environments[answer.environment] += 1
        if fate < REFUNDED_SHARE:
            self._start(self._refund, session, key, answer.body["id"], amount)
        elif fate < REFUNDED_SHARE + REPLAYED_SHARE:
            self._start(self._replay, session, key, answer.body["id"], body)

    async def _refund(self, session: aiohttp.ClientSession, paid: UUID, payment_id: int, amount: Decimal) -> None:
        due = await self._later()
        key = uuid5(paid, "refund")
        part = amount if self._choices.random() < 0.5 else (amount / 2).quantize(Decimal("0.01"))
        body = {"idempotency_key": str(key), "amount": str(part)}
        sent_at = time.time()
        answer = await self._post(session, "refund", key, f"/payments/{payment_id}/refunds", body, due, sent_at)
        wanted = body | {"payment_id": payment_id}
        if answer is not None and not self._contradicted("refund", key, answer, wanted, sent_at):
            self._book.refund(
                AcknowledgedRefund(
                    key=key,
                    id=answer.body["id"],
                    payment_id=payment_id,
                    amount=part,
                    environment=answer.environment,
                    sent_at=sent_at,
                    acknowledged_at=time.time(),
                )
            )
            self._counts["refund"] += 1

    async def _replay(self, session: aiohttp.ClientSession, key: UUID, payment_id: int, body: dict[str, Any]) -> None:
        due = await self._later()
        answer = await self._post(session, "replay", key, "/payments", body, due, time.time())
        if answer is None:
            return
        if answer.body["id"] == payment_id and answer.body["replayed"]:
            self._book.replay(key)
            self._counts["replay"] += 1
        else:
            self._book.doubled(Doubled(key=key, first_id=payment_id, second_id=answer.body["id"]))
            self._counts["doubled"] += 1

    def _contradicted(self, request: str, key: UUID, answer: _Answer, wanted: dict[str, Any], sent_at: float) -> bool:
        """Whether a 2xx answer says something else than was asked for; that is a failure, and noted as one.

        ``replayed`` is not asked: after a lost commit the service finds on its own retry that it had been done.
        """
        said = {name: answer.body[name] for name in wanted if name in answer.body}
        wrong = {name: value for name, value in said.items() if value != wanted[name]}
        if wrong:
            self._failed(request, key, f"asked for {wanted}, was answered with {wrong}", sent_at)
        return bool(wrong)

    def _failed(self, request: str, key: UUID, reason: str, sent_at: float) -> None:
        self._counts["failure"] += 1
        self._last_failure = f"{request}: {reason}"
        self._book.failure(Failure(key=key, request=request, reason=reason, sent_at=sent_at, failed_at=time.time()))

    async def _later(self) -> float:
        """Wait a while, not beyond the end of the load; returns when the request is due."""
        try:
            async with asyncio.timeout(self._choices.uniform(0, LATEST_FOLLOW_UP_SECONDS)):
                await self._stopping.wait()
        except TimeoutError:
            pass
        return time.monotonic()

    async def _post(
        self,
        session: aiohttp.ClientSession,
        request: str,
        key: UUID,
        path: str,
        body: dict[str, Any],
        due: float,
        sent_at: float,
    ) -> _Answer | None:
        """Send one request, once. None when it failed, which is then in the book."""
        self._in_flight += 1
        try:
            return await self._send(session, path, body)
        except (_RequestError, ResolveError, aiohttp.ClientError, OSError, ValueError) as error:
            reason = str(error) or type(error).__name__
            if isinstance(error, TimeoutError):
                reason = f"no answer within {REQUEST_SECONDS:g} s"
            self._failed(request, key, reason, sent_at)
            return None
        finally:
            self._in_flight -= 1
            self._latencies_ms.append((time.monotonic() - due) * 1000)

    async def _send(self, session: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> _Answer:
        endpoint = self._clients.endpoint()
        url = f"{'https' if self._tls else 'http'}://{endpoint.host}:{endpoint.port}{path}"
        async with session.post(
            url,
            data=json.dumps(body).encode(),
            headers=self._headers,
            ssl=self._tls or True,
            server_hostname=self._config.record_name if self._tls else None,
        ) as response:
            text = await response.read()
            if not 200 <= response.status < 300:
                raise _RequestError(
                    f"{response.status} from {endpoint.canonical_name}: {text[:200].decode(errors='replace')}"
                )
            return _Answer(json.loads(text), response.headers.get("PM-Environment", "unknown"))


def _quantile(ordered: list[float], share: float) -> float:
    return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)], 2) if ordered else 0.0
