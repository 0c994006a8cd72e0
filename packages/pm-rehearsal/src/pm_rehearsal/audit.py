"""Both databases against the client's book, and against each other.

Run it when the load has stopped. What it finds is named by database, table and key.
"""

import heapq
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from pm_rehearsal.load.book import Book

TABLES = ("public.accounts", "public.payments", "public.refunds", "public.ledger_entries")
DRAIN_SECONDS = 15.0
SHOWN_AT_MOST = 1000
_FETCH_ROWS = 5000

# Each payment and each refund is one ledger transaction of two entries: the customer's, the settlement account's.
_LEDGER = """
with booked as (
    select payment_id, refund_id, count(*) as entries, count(distinct transaction_id) as transactions,
        sum(entry.amount) as total, sum(entry.amount) filter (where entry.account_id = payment.account_id) as customer
    from public.ledger_entries entry join public.payments payment on payment.id = entry.payment_id
    group by payment_id, refund_id
)
select 'payment ' || payment.id, coalesce(entries, 0), coalesce(transactions, 0), coalesce(total, 0),
    coalesce(customer, 0), -payment.amount
from public.payments payment left join booked on booked.payment_id = payment.id and booked.refund_id is null
where (entries, transactions, total, customer) is distinct from (2, 1, 0, -payment.amount)
union all
select 'refund ' || refund.id, coalesce(entries, 0), coalesce(transactions, 0), coalesce(total, 0),
    coalesce(customer, 0), refund.amount
from public.refunds refund left join booked on booked.refund_id = refund.id
where (entries, transactions, total, customer) is distinct from (2, 1, 0, refund.amount)
order by 1
"""
_TRANSACTIONS = """
select 'transaction ' || transaction_id, sum(amount), count(*) from public.ledger_entries
group by transaction_id having sum(amount) <> 0 order by transaction_id
"""
_ORPHANS = """
select 'entry ' || entry.id from public.ledger_entries entry
left join public.payments payment on payment.id = entry.payment_id
left join public.refunds refund on refund.id = entry.refund_id
where payment.id is null or (entry.refund_id is not null and refund.id is null) order by entry.id
"""
_REFUNDED = """
select 'payment ' || payment.id, payment.refunded_amount, coalesce(sum(refund.amount), 0)
from public.payments payment left join public.refunds refund on refund.payment_id = payment.id
group by payment.id, payment.refunded_amount having payment.refunded_amount <> coalesce(sum(refund.amount), 0)
order by payment.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that must not be.

    Attributes:
        database: source or target; ``book`` when the client saw it itself.
        table: Where.
        key: Which row: an idempotency key, or a primary key.
        detail: What was found, what should be.
    """

    database: str
    table: str
    key: str
    detail: str

    def __str__(self) -> str:
        return f"{self.database}: {self.table} {self.key}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What an audit found.

    Attributes:
        acknowledged: Payments in the client's book.
        refunds: Refunds in the client's book.
        failed: Requests in the book without a 2xx answer.
        lost: Acknowledged payments and refunds that a database lacks.
        doubled: Keys that exist more than once, or that the client saw answered with two payments.
        altered: Acknowledged payments and refunds that a database holds with another id, amount, account.
        unbalanced: Ledger transactions that do not sum to zero, or do not move what their payment says, once.
        unexplained: Payments and refunds that are neither acknowledged, nor of a request that failed, nor from before
            the load: a charge that nobody asked for. Empty when it was not said what was there before.
        differences: Rows that are not the same in both databases; at most `SHOWN_AT_MOST` for each table.
        drain_seconds: How long replication took to make both equal, or how long that was waited for.
    """

    acknowledged: int
    refunds: int
    failed: int
    lost: tuple[Finding, ...]
    doubled: tuple[Finding, ...]
    altered: tuple[Finding, ...]
    unbalanced: tuple[Finding, ...]
    unexplained: tuple[Finding, ...]
    differences: tuple[Finding, ...]
    drain_seconds: float

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that must not be."""
        return (
            *self.lost,
            *self.doubled,
            *self.altered,
            *self.unexplained,
            *self.unbalanced,
            *self.differences,
        )

    @property
    def passed(self) -> bool:
        """Whether nothing was found and no request failed."""
        return not self.findings and not self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Existing:
    """Idempotency keys that a database holds at one moment."""

    payments: frozenset[UUID]
    refunds: frozenset[UUID]


def existing(conninfo: Mapping[str, Any]) -> Existing:
    """What the payment tables hold now, to be told apart from what a load brings.

    Args:
        conninfo: For ``psycopg.connect``; a role that may read the payment tables.
    """
    with psycopg.connect(**conninfo) as connection:
        payments, refunds = (
            frozenset(key for (key,) in connection.execute(f"select idempotency_key from public.{table}"))  # noqa: S608 - two fixed names
            for table in ("payments", "refunds")
        )
    return Existing(payments=payments, refunds=refunds)


def audit(
    book: Book,
    *,
    target: Mapping[str, Any],
    source: Mapping[str, Any] | None = None,
    before: Existing | None = None,
    drain_seconds: float = DRAIN_SECONDS,
) -> Audit:
    """Audit both databases.

    Args:
        book: The client's.
        target: How to log in to the target, for ``psycopg.connect``; a role that may read the payment tables.
        source: The same for the source. None after `pm finish`, when only the target gets what was acknowledged.
        before: What the payment tables held before the load began; None leaves unexplained rows alone, for an audit
            while payments are on their way.
        drain_seconds: How long replication may take to bring what is still on its way.

    Raises:
        psycopg.Error: A database is not there, or does not hold the payment tables.
    """
    logins = {"target": target} if source is None else {"source": source, "target": target}
    with ExitStack() as stack:
        sides = {name: stack.enter_context(psycopg.connect(**login)) for name, login in logins.items()}
        for connection in sides.values():
            connection.autocommit = True
            connection.execute("set time zone 'UTC'")
        began = time.monotonic()
        differences = _differences(**sides) if source is not None else ()
        while differences and time.monotonic() - began < drain_seconds:
            time.sleep(0.1)
            differences = _differences(**sides)
        took = time.monotonic() - began
        judged = [_Judge(name, connection, before).judge(book) for name, connection in sides.items()]
    return Audit(
        acknowledged=len(book.payments),
        refunds=len(book.refunds),
        failed=len(book.failures),
        lost=tuple(finding for one_side in judged for finding in one_side.lost),
        doubled=tuple(
            Finding(
                database="book",
                table="public.payments",
                key=str(seen.key),
                detail=f"answered with payment {seen.first_id}, then with payment {seen.second_id}",
            )
            for seen in book.doubled
        )
        + tuple(finding for one_side in judged for finding in one_side.doubled),
        altered=tuple(finding for one_side in judged for finding in one_side.altered),
        unbalanced=tuple(finding for one_side in judged for finding in one_side.unbalanced),
        unexplained=tuple(finding for one_side in judged for finding in one_side.unexplained),
        differences=differences,
        drain_seconds=round(took, 3),
    )


class _Judge:
    """One database against the book."""

    def __init__(self, name: str, connection: psycopg.Connection[Any], before: Existing | None) -> None:
        self.name = name
        self.lost: list[Finding] = []
        self.doubled: list[Finding] = []
        self.altered: list[Finding] = []
        self.unbalanced: list[Finding] = []
        self.unexplained: list[Finding] = []
        self._connection = connection
        self._before = before

    def judge(self, book: Book) -> "_Judge":
        payments = {one.key: (one.id, one.account_id, one.amount) for one in book.payments}
        refunds = {one.key: (one.id, one.payment_id, one.amount) for one in book.refunds}
        failed = {one.key for one in book.failures}
        before = self._before
        self._judge_rows(
            "public.payments",
            ("id", "account_id", "amount"),
            payments,
            None if before is None else before.payments | failed,
        )
        self._judge_rows(
            "public.refunds",
            ("id", "payment_id", "amount"),
            refunds,
            None if before is None else before.refunds | failed,
        )
        self._judge_ledger()
        return self

    def _judge_rows(
        self,
        table: str,
        columns: Sequence[str],
        expected: Mapping[UUID, tuple[Any, ...]],
        known: frozenset[UUID] | None,
    ) -> None:
        found: dict[UUID, tuple[Any, ...]] = {}
        times: Counter[UUID] = Counter()
        query = sql.SQL("select idempotency_key, {} from {}").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(*table.split("."))
        )
        for key, *values in self._connection.execute(query):
            times[key] += 1
            found[key] = tuple(values)
        for key, count in times.items():
            if count > 1:
                self.doubled.append(self._finding(table, key, f"exists {count} times"))
        for key, values in expected.items():
            if key not in found:
                self.lost.append(self._finding(table, key, f"was acknowledged as {_named(columns, values)}"))
            elif times[key] == 1 and found[key] != values:
                detail = f"is {_named(columns, found[key])}, was acknowledged as {_named(columns, values)}"
                self.altered.append(self._finding(table, key, detail))
        if known is not None:
            for key in found.keys() - expected.keys() - known:
                detail = f"is {_named(columns, found[key])}, and nobody was told of it"
                self.unexplained.append(self._finding(table, key, detail))

    def _judge_ledger(self) -> None:
        table = "public.ledger_entries"
        for key, entries, transactions, total, customer, wanted in self._connection.execute(_LEDGER):
            detail = (
                f"{entries} entries in {transactions} transactions sum to {total} and move {customer} for the "
                f"customer; should be 2 in 1, sum to 0 and move {wanted}"
            )
            self.unbalanced.append(self._finding(table, key, detail))
        for key, total, entries in self._connection.execute(_TRANSACTIONS):
            self.unbalanced.append(self._finding(table, key, f"{entries} entries sum to {total}, should be 0"))
        for (key,) in self._connection.execute(_ORPHANS):
            self.unbalanced.append(self._finding(table, key, "belongs to no payment or refund"))
        for key, noted, summed in self._connection.execute(_REFUNDED):
            self.unbalanced.append(
                self._finding("public.payments", key, f"refunded_amount is {noted}, its refunds sum to {summed}")
            )

    def _finding(self, table: str, key: object, detail: str) -> Finding:
        return Finding(database=self.name, table=table, key=str(key), detail=detail)


def _named(columns: Sequence[str], values: Sequence[Any]) -> str:
    return ", ".join(f"{column} {value}" for column, value in zip(columns, values, strict=True))


def _differences(source: psycopg.Connection[Any], target: psycopg.Connection[Any]) -> tuple[Finding, ...]:
    return tuple(finding for table in TABLES for finding in _different_rows(table, source, target))


def _different_rows(table: str, source: psycopg.Connection[Any], target: psycopg.Connection[Any]) -> Iterator[Finding]:
    """Both tables side by side in the order of their keys (`id`); values are compared, not texts."""
    tagged = heapq.merge(_rows(table, "source", source), _rows(table, "target", target), key=itemgetter(0))
    shown = 0
    for key, group in groupby(tagged, key=itemgetter(0)):
        rows = {side: row for _, side, row in group}
        for missing in {"source", "target"} - rows.keys():
            yield Finding(database=missing, table=table, key=f"id {key}", detail="is missing")
        if len(rows) == 2:
            one, other = rows["source"], rows["target"]
            if one == other:
                continue
            columns = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
            detail = "; ".join(f"{name} is {other.get(name)}, in the source {one.get(name)}" for name in columns)
            yield Finding(database="target", table=table, key=f"id {key}", detail=detail)
        shown += 1
        if shown == SHOWN_AT_MOST:
            return


def _rows(table: str, side: str, connection: psycopg.Connection[Any]) -> Iterator[tuple[int, str, dict[str, Any]]]:
    query = sql.SQL("select * from {} order by id").format(sql.Identifier(*table.split(".")))
    with connection.transaction(), connection.cursor("audit", row_factory=dict_row) as cursor:
        cursor.itersize = _FETCH_ROWS
        for row in cursor.execute(query):
            yield row["id"], side, row
