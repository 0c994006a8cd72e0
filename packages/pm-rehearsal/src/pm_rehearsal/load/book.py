"""The client's own book of what was acknowledged: the audit believes it, not the databases.

A file of JSON lines, appended to and handed to the operating system line by line, so that it survives a kill of the
process that writes it. Times are seconds since 1970; amounts are text with two decimals.
"""

import json
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

# Of a quiet window; an unbounded number of them tells no more.
SHORTEST_WINDOW_SECONDS = 0.005


class BookError(ValueError):
    """A line of the book cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgedPayment:
    """A payment that the service confirmed, as it was confirmed."""

    key: UUID
    id: int
    account_id: int
    amount: Decimal
    environment: str
    sent_at: float
    acknowledged_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgedRefund:
    """A refund that the service confirmed, as it was confirmed."""

    key: UUID
    id: int
    payment_id: int
    amount: Decimal
    environment: str
    sent_at: float
    acknowledged_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A request without a 2xx answer within its deadline.

    Attributes:
        request: payment, refund or replay.
    """

    request: str
    key: UUID
    reason: str
    sent_at: float
    failed_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubled:
    """A repetition of a key that was answered with another payment."""

    key: UUID
    first_id: int
    second_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """A book as read: everything in the order in which it was acknowledged."""

    payments: tuple[AcknowledgedPayment, ...]
    refunds: tuple[AcknowledgedRefund, ...]
    failures: tuple[Failure, ...]
    doubled: tuple[Doubled, ...]
    replays: int


class BookWriter:
    """Appends to a book.

    Args:
        file: Created when it is not there.
    """

    def __init__(self, file: Path) -> None:
        # Unbuffered: an entry is with the operating system before anybody is told of the acknowledgement.
        self._file = file.open("ab", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def payment(self, entry: AcknowledgedPayment) -> None:
        """Note an acknowledged payment."""
        self._write(
            "payment", entry.key, entry.id, entry.account_id, str(entry.amount), entry.environment,
            entry.sent_at, entry.acknowledged_at,
        )  # fmt: skip

    def refund(self, entry: AcknowledgedRefund) -> None:
        """Note an acknowledged refund."""
        self._write(
            "refund", entry.key, entry.id, entry.payment_id, str(entry.amount), entry.environment,
            entry.sent_at, entry.acknowledged_at,
        )  # fmt: skip

    def replay(self, key: UUID) -> None:
        """Note a repetition that was answered with the same payment."""
        self._write("replay", key)

    def failure(self, entry: Failure) -> None:
        """Note a failed request."""
        self._write("failure", entry.key, entry.request, entry.reason, entry.sent_at, entry.failed_at)

    def doubled(self, entry: Doubled) -> None:
        """Note a repetition that was answered with another payment."""
        self._write("doubled", entry.key, entry.first_id, entry.second_id)

    def _write(self, kind: str, key: UUID, *values: Any) -> None:
        self._file.write(json.dumps([kind, str(key), *values]).encode() + b"\n")


def read_book(file: Path) -> Book:
    """Read a whole book. A last line that a killed process did not finish does not count.

    Raises:
        BookError: Another line cannot be read; the message names its number.
        FileNotFoundError: There is no such file.
    """
    payments: list[AcknowledgedPayment] = []
    refunds: list[AcknowledgedRefund] = []
    failures: list[Failure] = []
    doubled: list[Doubled] = []
    replays = 0
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                kind, text, *values = json.loads(line)
                key = UUID(text)
                if kind == "payment":
                    payments.append(_payment(key, values))
                elif kind == "refund":
                    refunds.append(_refund(key, values))
                elif kind == "failure":
                    request, reason, sent_at, failed_at = values
                    failures.append(
                        Failure(key=key, request=request, reason=reason, sent_at=sent_at, failed_at=failed_at)
                    )
                elif kind == "doubled":
                    first_id, second_id = values
                    doubled.append(Doubled(key=key, first_id=first_id, second_id=second_id))
                elif kind == "replay":
                    replays += 1
                else:
                    raise BookError(f"unknown entry {kind!r}")
            except (ValueError, TypeError, ArithmeticError, AttributeError) as error:
                raise BookError(f"{file}, line {number}: {error}") from error
    return Book(
        payments=tuple(payments),
        refunds=tuple(refunds),
        failures=tuple(failures),
        doubled=tuple(doubled),
        replays=replays,
    )


def write_gaps(book: Book, windows: Sequence[tuple[float, float]]) -> tuple[tuple[float, ...], float]:
    """How long nobody's write was acknowledged, at each move of the writer and when nothing moved.

    Args:
        book: What was acknowledged; payments and refunds are writes.
        windows: ``(fenced_at, opened_at)`` of each move, seconds since 1970.

    Returns:
        For each window the longest interval between two consecutive acknowledgements that overlaps it, in ms; and the
        median of the same over windows equally long (their mean) that lie outside of all moves. When the load ended
        inside a window, the interval ends with the window. Both are 0 for want of acknowledgements.
    """
    times = sorted([*(one.acknowledged_at for one in book.payments), *(one.acknowledged_at for one in book.refunds)])
    if not times or not windows:
        return (0.0,) * len(windows), 0.0
    gaps = tuple(_longest_gap(times, start, end) for start, end in windows)
    length = max(statistics.fmean(end - start for start, end in windows), SHORTEST_WINDOW_SECONDS)
    # A margin of one length on both sides keeps a move's backlog out of the quiet windows.
    moves = [(start - length, end + length) for start, end in windows]
    quiet = []
    start = times[0]
    while start + length < times[-1]:
        if not any(begin < start + length and start < end for begin, end in moves):
            quiet.append(_longest_gap(times, start, start + length))
        start += length
    return gaps, statistics.median(quiet) if quiet else 0.0


def _longest_gap(times: Sequence[float], start: float, end: float) -> float:
    """The longest interval between neighbours that overlaps ``start`` to ``end``, in ms."""
    first = max(bisect_right(times, start) - 1, 0)
    last = bisect_left(times, end)
    around = [*times[first : last + 1]]
    if last == len(times):
        around.append(max(end, times[-1]))
    return max((later - earlier for earlier, later in pairwise(around)), default=0.0) * 1000


def _payment(key: UUID, values: list[Any]) -> AcknowledgedPayment:
    number, account_id, amount, environment, sent_at, acknowledged_at = values
    return AcknowledgedPayment(
        key=key,
        id=number,
        account_id=account_id,
        amount=Decimal(amount),
        environment=environment,
        sent_at=sent_at,
        acknowledged_at=acknowledged_at,
    )


def _refund(key: UUID, values: list[Any]) -> AcknowledgedRefund:
    number, payment_id, amount, environment, sent_at, acknowledged_at = values
    return AcknowledgedRefund(
        key=key,
        id=number,
        payment_id=payment_id,
        amount=Decimal(amount),
        environment=environment,
        sent_at=sent_at,
        acknowledged_at=acknowledged_at,
    )
