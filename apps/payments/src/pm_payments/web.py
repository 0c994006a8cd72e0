"""The HTTP interface: requests in, answers out. docs/architecture.md holds the table of both."""

import json
import re
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import structlog
from aiohttp import hdrs, web

from pm_payments.activity import Activity
from pm_payments.ledger import KeyReusedError, Ledger, NotAllowedError, Payment, UnknownError
from pm_writer import NoWriterError, WriterPool

_AMOUNT = re.compile(r"(?!0+(\.0{1,2})?$)[0-9]{1,16}(\.[0-9]{1,2})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_MAX_ID = 2**63 - 1
_BODY_BYTES = 4096
_CENT = Decimal("0.01")

logger = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _BodyError(Exception):
    """A request's body is not what is allowed."""


class Payments:
    """The routes.

    Args:
        environment: Value of the header ``PM-Environment`` of every answer.
        pool: Follows the writer.
        activity: Knows which requests are in flight and whether the process is draining.
    """

    def __init__(self, *, environment: str, pool: WriterPool, activity: Activity) -> None:
        self._environment = environment
        self._pool = pool
        self._ledger = Ledger(pool)
        self._activity = activity

    def application(self) -> web.Application:
        """The aiohttp application."""
        application = web.Application(middlewares=[self._answer], client_max_size=_BODY_BYTES)
        application.on_response_prepare.append(self._name_environment)
        application.add_routes(
            [
                web.post("/payments", self._create),
                web.get(r"/payments/{id:[0-9]{1,40}}", self._find),
                web.post(r"/payments/{id:[0-9]{1,40}}/refunds", self._refund),
                web.get("/health", self._health),
                web.get("/ready", self._ready),
            ]
        )
        return application

    async def _create(self, request: web.Request) -> web.Response:
        body = await _body(request)
        payment, replayed = await self._ledger.create(
            key=_key(body), account_id=_account(body), amount=_amount(body), currency=_currency(body)
        )
        return _json(200 if replayed else 201, {**_shown(payment), "replayed": replayed})

    async def _find(self, request: web.Request) -> web.Response:
        return _json(200, _shown(await self._ledger.find(_path_id(request))))

    async def _refund(self, request: web.Request) -> web.Response:
        body = await _body(request)
        refund, replayed = await self._ledger.refund(payment_id=_path_id(request), key=_key(body), amount=_amount(body))
        shown = {"id": refund.id, "payment_id": refund.payment_id, "amount": str(refund.amount), "replayed": replayed}
        return _json(200 if replayed else 201, shown)

    async def _health(self, _: web.Request) -> web.Response:
        if self._activity.draining:
            return _json(503, {"status": "draining"})
        return _json(200, {"status": "serving"})

    async def _ready(self, _: web.Request) -> web.Response:
        writer = self._pool.writer
        if writer is None or self._activity.draining:
            return _json(503, {"writer": None, "epoch": None})
        return _json(200, {"writer": writer.name, "epoch": writer.epoch})

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        with self._activity.request(counts=request.path not in ("/health", "/ready")):
            response = await _with_errors_answered(request, handler)
            if self._activity.draining:
                response.force_close()  # whoever keeps this connection opens the next one elsewhere
            return response

    async def _name_environment(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers["PM-Environment"] = self._environment


async def _with_errors_answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except _BodyError as error:
        return _json(400, {"error": str(error)})
    except UnknownError as error:
        return _json(404, {"error": str(error)})
    except KeyReusedError as error:
        return _json(409, {"error": str(error)})
    except NotAllowedError as error:
        return _json(422, {"error": str(error)})
    except (NoWriterError, psycopg.OperationalError) as error:
        why = "no database takes writes now"
        if not isinstance(error, NoWriterError):
            # Out of memory or disk, a timeout, a conflict that did not end: not the request's fault, and rolled back.
            why = "the database could not carry it out"
            logger.warning(why, sqlstate=error.sqlstate)
        answer = _json(503, {"error": f"{why}: repeat with the same idempotency key"})
        answer.headers[hdrs.RETRY_AFTER] = "1"
        return answer
    except web.HTTPException as error:
        return _json(error.status, {"error": error.reason}, allowed=error.headers.get(hdrs.ALLOW))


def _json(status: int, content: dict[str, Any], *, allowed: str | None = None) -> web.Response:
    headers = None if allowed is None else {hdrs.ALLOW: allowed}
    return web.Response(
        status=status, body=json.dumps(content).encode(), content_type="application/json", headers=headers
    )


def _shown(payment: Payment) -> dict[str, Any]:
    return {
        "id": payment.id,
        "idempotency_key": str(payment.idempotency_key),
        "account_id": payment.account_id,
        "amount": str(payment.amount),
        "currency": payment.currency,
        "status": payment.status,
    }


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise _BodyError(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise _BodyError("the body is not a JSON object")
    return body


def _key(body: dict[str, Any]) -> UUID:
    try:
        return UUID(body["idempotency_key"])
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise _BodyError("idempotency_key: a UUID as text is needed") from error


def _account(body: dict[str, Any]) -> int:
    account = body.get("account_id")
    if type(account) is not int or not 0 < account <= _MAX_ID:
        raise _BodyError(f"account_id: a whole number from 1 to {_MAX_ID} is needed")
    return account


def _amount(body: dict[str, Any]) -> Decimal:
    amount = body.get("amount")
    if not isinstance(amount, str) or not _AMOUNT.fullmatch(amount):
        raise _BodyError('amount: text like "12.34" is needed, above zero, at most 16 digits before the point')
    return Decimal(amount).quantize(_CENT)


def _currency(body: dict[str, Any]) -> str:
    currency = body.get("currency")
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise _BodyError('currency: three capital letters like "EUR" are needed')
    return currency


def _path_id(request: web.Request) -> int:
    number = int(request.match_info["id"])
    if number > _MAX_ID:
        raise UnknownError(f"no payment {number}")
    return number
