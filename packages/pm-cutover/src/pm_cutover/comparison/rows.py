"""Finds the rows that differ between two databases while writes go on.

1. Both sides hash the same key range at the same time; the hash is independent of order, so nothing is sorted.
2. A range that differs is cut until it is small; then its rows are compared one by one.
3. A row that differs is only *suspect*, as the other side is a moment behind. Replication is driven past a marker and
   the row is read again: it is a mismatch if the writer's row stood still over two such trips and still differs.

Ranges are open at both ends, so that every row is in one on each side, even if the servers order text differently.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from pm_cutover.comparison.table import ComparedTable, Digest, Key, Range
from pm_cutover.database import cut_after

T = TypeVar("T")
CHUNK_ROWS = 50_000
LEAF_ROWS = 500
ANSWER_SECONDS = 600.0  # for one range; a server that takes longer is frozen
MAX_SUSPECTS = 10_000
MAX_TRIPS = 20
_KEYS_AT_ONCE = 1_000
_CUTS = 16
_STANDING_TRIPS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class TableComparison:
    """What was found in one table.

    Attributes:
        table: ``schema.table``.
        rows: Rows of the writer that were compared.
        suspects: Rows that differed at first sight.
        mismatches: Keys of the rows that really differ, as ``id=42``; at most 10,000 are looked for.
        moving: Keys of rows that changed all the time, so that nothing can be said.
        complete: False when there were so many suspects that the comparison stopped early.
    """

    table: str
    rows: int
    suspects: int
    mismatches: tuple[str, ...]
    moving: tuple[str, ...]
    complete: bool

    @property
    def equal(self) -> bool:
        """Whether both sides hold the same rows."""
        return self.complete and not self.mismatches and not self.moving


@dataclass(slots=True)
class _Suspect:
    key: Key
    writer_hash: int | None
    standing_trips: int = 0


class TableComparer:
    """Compares tables of a writer and of the side that follows it.

    Args:
        writer: Autocommit connection to the writer, from ``comparison_session``.
        follower: Likewise to the other side.
        settle: Returns when everything that the writer had committed before the call is on the follower.
        chunk_rows: Rows of one range.
        leaf_rows: Ranges up to this size are compared row by row.
    """

    def __init__(
        self,
        *,
        writer: psycopg.Connection[Any],
        follower: psycopg.Connection[Any],
        settle: Callable[[], None],
        chunk_rows: int = CHUNK_ROWS,
        leaf_rows: int = LEAF_ROWS,
    ) -> None:
        self._writer = writer
        self._follower = follower
        self._settle = settle
        self._chunk_rows = chunk_rows
        self._leaf_rows = leaf_rows

    def compare(self, table: ComparedTable, *, on_rows: Callable[[int], None] | None = None) -> TableComparison:
        """Compare all rows of a table.

        Args:
            table: From ``describe_table``.
            on_rows: Told the number of rows compared so far.
        """
        rows = 0
        complete = True
        suspects: list[_Suspect] = []
        with ThreadPoolExecutor(max_workers=2, thread_name_prefix="compare") as threads:
            scan = _Scan(table, self._writer, self._follower, threads, self._leaf_rows)
            for bounds in _ranges(scan, self._writer, Range(), self._chunk_rows):
                compared, found = scan.compare(bounds)
                rows += compared
                suspects += found
                if on_rows is not None:
                    on_rows(rows)
                if len(suspects) >= MAX_SUSPECTS:
                    complete = False
                    break
            mismatches, moving = self._settled(scan, suspects)
        return TableComparison(
            table=table.name,
            rows=rows,
            suspects=len(suspects),
            mismatches=tuple(table.describe(key) for key in sorted(mismatches)),
            moving=tuple(table.describe(key) for key in sorted(moving)),
            complete=complete,
        )

    def _settled(self, scan: "_Scan", suspects: Sequence[_Suspect]) -> tuple[list[Key], list[Key]]:
        mismatches: list[Key] = []
        open_suspects = list(suspects)
        for _ in range(MAX_TRIPS):
            if not open_suspects:
                break
            self._settle()
            keys = [suspect.key for suspect in open_suspects]
            # The follower first: a change between the two reads then shows as a writer's row that moved.
            follower = scan.hashes(self._follower, keys)
            writer = scan.hashes(self._writer, keys)
            still: list[_Suspect] = []
            for suspect in open_suspects:
                now = writer.get(suspect.key)
                if now == follower.get(suspect.key):
                    continue
                standing = suspect.standing_trips + 1 if now == suspect.writer_hash else 0
                if standing >= _STANDING_TRIPS:
                    mismatches.append(suspect.key)
                else:
                    still.append(_Suspect(suspect.key, now, standing))
            open_suspects = still
        return mismatches, [suspect.key for suspect in open_suspects]


@dataclass(frozen=True, slots=True)
class _Scan:
    table: ComparedTable
    writer: psycopg.Connection[Any]
    follower: psycopg.Connection[Any]
    threads: ThreadPoolExecutor
    leaf_rows: int

    def compare(self, bounds: Range) -> tuple[int, list[_Suspect]]:
        """Rows of the writer in a range, and the suspects among them."""
        writer, follower = self._both(self._digest, bounds)
        if writer == follower:
            return writer.rows, []
        if max(writer.rows, follower.rows) <= self.leaf_rows:
            return writer.rows, self._suspects(bounds)
        larger = self.writer if writer.rows >= follower.rows else self.follower
        size = max(self.leaf_rows, max(writer.rows, follower.rows) // _CUTS)
        suspects: list[_Suspect] = []
        for part in _ranges(self, larger, bounds, size):
            suspects += self.compare(part)[1]
            if len(suspects) >= MAX_SUSPECTS:
                break
        return writer.rows, suspects

    def hashes(self, connection: psycopg.Connection[Any], keys: Sequence[Key]) -> dict[Key, int]:
        """Hashes of the rows that exist among the keys."""
        found: dict[Key, int] = {}
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            found |= self._hashes(connection, self.table.rows_of(keys[start : start + _KEYS_AT_ONCE]))
        return found

    def _suspects(self, bounds: Range) -> list[_Suspect]:
        statement = self.table.rows(bounds)
        writer, follower = self._both(lambda connection, query: self._hashes(connection, query), statement)
        return [
            _Suspect(key, writer.get(key))
            for key in sorted(writer.keys() | follower.keys())
            if writer.get(key) != follower.get(key)
        ]

    def _digest(self, connection: psycopg.Connection[Any], bounds: Range) -> Digest:
        rows, xor, total = _answer(connection, self.table.digest(bounds))[0]
        return Digest(rows=int(rows), xor=int(xor), total=int(total))

    def _hashes(self, connection: psycopg.Connection[Any], statement: sql.Composed) -> dict[Key, int]:
        return {tuple(row[:-1]): int(row[-1]) for row in _answer(connection, statement)}

    def _both(self, ask: Callable[[psycopg.Connection[Any], Any], T], what: object) -> tuple[T, T]:
        writer = self.threads.submit(ask, self.writer, what)
        follower = self.threads.submit(ask, self.follower, what)
        return writer.result(), follower.result()


def _answer(connection: psycopg.Connection[Any], statement: sql.Composed) -> list[tuple[Any, ...]]:
    with cut_after(ANSWER_SECONDS, connection):
        return connection.execute(statement).fetchall()


def _ranges(scan: _Scan, connection: psycopg.Connection[Any], bounds: Range, rows: int) -> Iterator[Range]:
    """Cut a range into parts of ``rows`` rows each, as ``connection`` sees it; together they cover it exactly."""
    after = bounds.after
    while True:
        found = _answer(connection, scan.table.boundary(Range(after=after, until=bounds.until), rows))
        until: Key | None = tuple(found[0]) if found else None
        if until is None or until == bounds.until:
            yield Range(after=after, until=bounds.until)
            return
        yield Range(after=after, until=until)
        after = until
