from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pm_rehearsal.load.book import (
    AcknowledgedPayment,
    AcknowledgedRefund,
    Book,
    BookError,
    BookWriter,
    Doubled,
    Failure,
    read_book,
    write_gaps,
)


def payment(acknowledged_at: float, key: UUID | None = None) -> AcknowledgedPayment:
    return AcknowledgedPayment(
        key=key or uuid4(),
        id=1,
        account_id=2,
        amount=Decimal("12.30"),
        environment="source",
        sent_at=acknowledged_at - 0.01,
        acknowledged_at=acknowledged_at,
    )


def book_of(*times: float) -> Book:
    return Book(payments=tuple(payment(at) for at in times), refunds=(), failures=(), doubled=(), replays=0)


def test_what_is_written_is_read(tmp_path: Path):
    paid = payment(1000.5)
    refunded = AcknowledgedRefund(
        key=uuid4(), id=3, payment_id=1, amount=Decimal("6.15"), environment="target", sent_at=1.5, acknowledged_at=1.75
    )
    failed = Failure(key=uuid4(), request="refund", reason="503 from x", sent_at=1.0, failed_at=2.0)
    twice = Doubled(key=uuid4(), first_id=1, second_id=2)
    file = tmp_path / "book.jsonl"
    with BookWriter(file) as writer:
        writer.payment(paid)
        writer.refund(refunded)
    with BookWriter(file) as writer:  # appends
        writer.failure(failed)
        writer.doubled(twice)
        writer.replay(paid.key)
    assert read_book(file) == Book(
        payments=(paid,), refunds=(refunded,), failures=(failed,), doubled=(twice,), replays=1
    )


def test_an_entry_is_in_the_file_at_once(tmp_path: Path):
    file = tmp_path / "book.jsonl"
    with BookWriter(file) as writer:
        writer.payment(payment(1.0))
        assert len(read_book(file).payments) == 1


def test_only_an_unfinished_last_line_is_forgiven(tmp_path: Path):
    file = tmp_path / "book.jsonl"
    with BookWriter(file) as writer:
        writer.payment(payment(1.0))
        writer.payment(payment(2.0))
    file.write_bytes(file.read_bytes()[:-5])
    assert len(read_book(file).payments) == 1
    with file.open("ab") as lines:
        lines.write(b"\n")
    with pytest.raises(BookError, match=r"book\.jsonl, line 2: "):
        read_book(file)


@pytest.mark.parametrize("line", [b'["payment", "x"]', b'["other", "%s"]' % str(UUID(int=1)).encode(), b"{}", b"7"])
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes):
    file = tmp_path / "book.jsonl"
    file.write_bytes(line + b"\n")
    with pytest.raises(BookError, match="line 1: "):
        read_book(file)


def test_the_gap_of_a_move_is_the_longest_interval_that_overlaps_it():
    book = book_of(1.000, 1.010, 1.090, 1.100, 1.400, 1.410)
    (gap,), _ = write_gaps(book, [(1.02, 1.08)])
    assert gap == pytest.approx(80)
    (gap,), _ = write_gaps(book, [(1.095, 1.105)])  # reaches into the longer interval after it
    assert gap == pytest.approx(300)


def test_refunds_are_writes_too():
    refund = AcknowledgedRefund(
        key=uuid4(), id=1, payment_id=1, amount=Decimal(1), environment="source", sent_at=1.0, acknowledged_at=1.05
    )
    book = Book(payments=book_of(1.0, 1.1).payments, refunds=(refund,), failures=(), doubled=(), replays=0)
    assert write_gaps(book, [(1.0, 1.1)])[0] == (pytest.approx(50),)


def test_a_load_that_never_resumes_counts_until_the_window_ends():
    assert write_gaps(book_of(1.0, 1.1), [(1.2, 1.9)])[0] == (pytest.approx(800),)


def test_the_baseline_is_the_median_longest_gap_away_from_moves():
    steady = [number / 100 for number in range(1000)]  # one each 10 ms for 10 s
    book = book_of(*(at for at in steady if not 5.0 < at < 5.2))
    gaps, baseline = write_gaps(book, [(5.0, 5.2)])
    assert gaps == (pytest.approx(200, abs=11),)
    assert baseline == pytest.approx(10, abs=1)


def test_an_empty_book_has_no_gaps():
    assert write_gaps(book_of(), [(1.0, 2.0)]) == ((0.0,), 0.0)
    assert write_gaps(book_of(1.0, 2.0), []) == ((), 0.0)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 100), min_size=2, max_size=40), st.floats(0, 100), st.floats(0.05, 10))
def test_a_gap_is_one_between_neighbours_that_touch_the_window(times: list[float], start: float, length: float):
    (gap,), _ = write_gaps(book_of(*times), [(start, start + length)])
    ordered = sorted(times)
    if ordered[0] < start and start + length < ordered[-1]:
        overlapping = [(b - a) * 1000 for a, b in pairwise(ordered) if b > start and a < start + length]
        assert gap == pytest.approx(max(overlapping))
