"""Payments and refunds in the database: each is one statement, written so that a repetition changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg.types.numeric import Int8

from pm_writer import WriterPool

# One statement: the payment, its two ledger entries, and, when the key is known already, the payment that has it.
# nextval is in a materialized row set of its own, because it must be called once for both entries.
_CREATE: LiteralString = """
with parties as (
    select payer.id as payer_id, settlement.id as settlement_id
    from public.accounts payer join public.accounts settlement on settlement.currency = payer.currency
    where payer.id = %(account_id)s and payer.kind = 'customer'
      and payer.currency = %(currency)s and settlement.kind = 'settlement'
), payment as (
    insert into public.payments (idempotency_key, account_id, amount, currency)
    select %(key)s, payer_id, %(amount)s, %(currency)s from parties
    on conflict (idempotency_key) do nothing
    returning id, idempotency_key, account_id, amount, currency, status
), ledger_transaction as materialized (
    select nextval('public.ledger_transaction_id') as id, payment.id as payment_id, payment.amount from payment
), entries as (
    insert into public.ledger_entries (transaction_id, payment_id, account_id, amount)
    select t.id, t.payment_id, entry.account_id, entry.amount
    from ledger_transaction t cross join parties cross join lateral (
        values (parties.payer_id, -t.amount), (parties.settlement_id, t.amount)
    ) as entry (account_id, amount)
)
select id, idempotency_key, account_id, amount, currency, status, false as replayed from payment
union all
select id, idempotency_key, account_id, amount, currency, status, true from public.payments
where idempotency_key = %(key)s
"""

# The payment's check constraint refuses what exceeds it: an update sees the newest row, whoever else refunds.
_REFUND: LiteralString = """
with payment as (
    select payment.id, payment.account_id, settlement.id as settlement_id
    from public.payments payment join public.accounts settlement on settlement.currency = payment.currency
    where payment.id = %(payment_id)s and settlement.kind = 'settlement'
), refund as (
    insert into public.refunds (idempotency_key, payment_id, amount)
    select %(key)s, id, %(amount)s from payment
    on conflict (idempotency_key) do nothing
    returning id, payment_id, amount
), reduced as (
    update public.payments set
        refunded_amount = payments.refunded_amount + refund.amount,
        status = case when payments.refunded_amount + refund.amount = payments.amount
            then 'refunded' else 'partially_refunded' end
    from refund where payments.id = refund.payment_id
), ledger_transaction as materialized (
    select nextval('public.ledger_transaction_id') as id, refund.id as refund_id, refund.payment_id, refund.amount
    from refund
), entries as (
    insert into public.ledger_entries (transaction_id, payment_id, refund_id, account_id, amount)
    select t.id, t.payment_id, t.refund_id, entry.account_id, entry.amount
    from ledger_transaction t join payment on payment.id = t.payment_id cross join lateral (
        values (payment.account_id, t.amount), (payment.settlement_id, -t.amount)
    ) as entry (account_id, amount)
)
select id, payment_id, amount, false as replayed from refund
union all
select id, payment_id, amount, true from public.refunds where idempotency_key = %(key)s
"""

_PAYMENT: LiteralString = (
    "select id, idempotency_key, account_id, amount, currency, status from public.payments where id = %(id)s"
)
_PAYMENT_OF_KEY: LiteralString = (
    "select id, idempotency_key, account_id, amount, currency, status, true from public.payments "
    "where idempotency_key = %(key)s"
)
_REFUND_OF_KEY: LiteralString = (
    "select id, payment_id, amount, true from public.refunds where idempotency_key = %(key)s"
)

# Numbers go as Int8: the type that psycopg would choose by size is a part of a prepared statement's identity.
_NOBODY = {
    "key": UUID(int=0),
    "account_id": Int8(-1),
    "payment_id": Int8(-1),
    "id": Int8(-1),
    "amount": Decimal(1),
    "currency": "EUR",
}
WARM: Sequence[tuple[LiteralString, Any]] = tuple((statement, _NOBODY) for statement in (_CREATE, _REFUND, _PAYMENT))
"""What a fresh connection runs before its first request; no account -1 exists, so that nothing would be written."""


def schema() -> str:
    """The SQL that creates the tables and the sequence; it can be run again."""
    return files("pm_payments").joinpath("schema.sql").read_text(encoding="utf-8")


class KeyReusedError(Exception):
    """An idempotency key came again with another body."""


class UnknownError(Exception):
    """The account or the payment that a request names does not exist."""


class NotAllowedError(Exception):
    """The request is well-formed and the ledger refuses it, for example a refund beyond the payment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One payment as stored.

    Attributes:
        amount: In units of ``currency``, two decimals.
        status: captured, partially_refunded or refunded.
    """

    id: int
    idempotency_key: UUID
    account_id: int
    amount: Decimal
    currency: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """One refund as stored; ``amount`` in the payment's currency."""

    id: int
    payment_id: int
    amount: Decimal


class Ledger:
    """What the service does with its database. Every method may raise `pm_writer.NoWriterError`."""

    def __init__(self, pool: WriterPool) -> None:
        self._pool = pool

    async def create(self, *, key: UUID, account_id: int, amount: Decimal, currency: str) -> tuple[Payment, bool]:
        """Take a payment, once per key.

        Returns:
            The payment and whether it was there before (replayed).

        Raises:
            KeyReusedError: The key belongs to a payment with another account, amount or currency.
            NotAllowedError: No customer account of that number and currency.
        """
        values = {"key": key, "account_id": Int8(account_id), "amount": amount, "currency": currency}
        # A payment with the same key that committed after this statement's snapshot is found by a second look.
        row = await self._first(_CREATE, values) or await self._first(_PAYMENT_OF_KEY, values)
        if row is None:
            raise NotAllowedError(f"no {currency} customer account {account_id}")
        payment = _payment(row)
        if (payment.account_id, payment.amount, payment.currency) != (account_id, amount, currency):
            raise KeyReusedError(f"idempotency key {key} belongs to payment {payment.id} with another body")
        return payment, bool(row[6])

    async def find(self, payment_id: int) -> Payment:
        """A payment, read from the writer.

        Raises:
            UnknownError: There is none with this number.
        """
        row = await self._first(_PAYMENT, {"id": Int8(payment_id)})
        if row is None:
            raise UnknownError(f"no payment {payment_id}")
        return _payment(row)

    async def refund(self, *, payment_id: int, key: UUID, amount: Decimal) -> tuple[Refund, bool]:
        """Pay back part or all of a payment, once per key.

        Returns:
            The refund and whether it was there before (replayed).

        Raises:
            KeyReusedError: The key belongs to a refund of another payment or amount.
            NotAllowedError: More than what is left of the payment.
            UnknownError: There is no such payment.
        """
        values = {"key": key, "payment_id": Int8(payment_id), "amount": amount}
        try:
            row = await self._first(_REFUND, values) or await self._first(_REFUND_OF_KEY, values)
        except psycopg.errors.CheckViolation as error:
            raise NotAllowedError(f"payment {payment_id} has less than {amount} left to refund") from error
        if row is None:
            raise UnknownError(f"no payment {payment_id}")
        refund = Refund(id=row[0], payment_id=row[1], amount=row[2])
        if (refund.payment_id, refund.amount) != (payment_id, amount):
            raise KeyReusedError(f"idempotency key {key} belongs to refund {refund.id} with another body")
        return refund, bool(row[3])

    async def _first(self, statement: LiteralString, values: dict[str, Any]) -> tuple[Any, ...] | None:
        # Fetched after the commit: work that does not fetch costs one round trip (pm_writer.WriterPool.run).
        cursor = await self._pool.run(lambda connection: connection.execute(statement, values, prepare=True))
        return await cursor.fetchone()


def _payment(row: tuple[Any, ...]) -> Payment:
    return Payment(id=row[0], idempotency_key=row[1], account_id=row[2], amount=row[3], currency=row[4], status=row[5])
