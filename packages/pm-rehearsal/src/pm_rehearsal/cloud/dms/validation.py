"""Rows of both sides, compared while they move: what DMS's data validation finds.

A row differs when it was the same on the source before and after the target was read, and another one there, although
everything from before had arrived. A row that changes meanwhile is neither right nor wrong: it is looked at again.

Whole tables are compared by checksums of some thousand buckets, which the servers compute; rows are read only of the
buckets that differ.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from psycopg import sql

from pm_rehearsal.cloud.dms.logins import Connection
from pm_rehearsal.cloud.dms.mappings import Table

NOT_ENABLED, WAITING, PENDING = "Not enabled", "Pending validation", "Pending records"
VALIDATED, MISMATCHED, NO_KEY = "Validated", "Mismatched records", "No primary key"
RECORD_DIFF, MISSING_SOURCE, MISSING_TARGET = "RECORD_DIFF", "MISSING_SOURCE", "MISSING_TARGET"

_BUCKETS = 4096
# The text of a row must not depend on a server's or a user's settings.
_PLAIN = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET bytea_output = 'hex'; SET extra_float_digits = 1"
_COLUMNS = """
SELECT a.attname, coalesce(a.attnum = ANY(i.indkey), false),
  t.typname = 'varchar' AND a.atttypmod = -1
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY 1
"""

Rows = Mapping[str, int]  # a checksum by the primary key's text
Buckets = Mapping[int, int]  # a checksum by bucket


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Validation of one table.

    Attributes:
        state: DMS's word.
        failed_rows: Rows that differ, or are on one side only.
        pending_rows: Rows that are to be looked at again.
    """

    state: str
    failed_rows: int = 0
    pending_rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How one table's rows are told apart and compared.

    Attributes:
        table: Its name.
        key: Columns of the primary key.
        columns: All columns.
    """

    table: Table
    key: tuple[str, ...]
    columns: tuple[str, ...]

    @property
    def comparable(self) -> bool:
        """Whether DMS would compare it: only by a primary key whose columns have a bounded type."""
        return bool(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What one look at some rows of a table gave.

    Attributes:
        failed: Kind of difference by key.
        pending: Keys of rows that changed meanwhile.
    """

    failed: Mapping[str, str] = field(default_factory=dict)
    pending: Collection[str] = ()


def compare(before: Rows, target: Rows, after: Rows) -> Comparison:
    """Judge rows of which everything in ``before`` had arrived when ``target`` was read.

    Args:
        before: Of the source, earlier.
        target: Of the target.
        after: Of the source, later.
    """
    failed: dict[str, str] = {}
    pending: list[str] = []
    for key in before.keys() | target.keys() | after.keys():
        was, there, now = before.get(key), target.get(key), after.get(key)
        if was == now == there:
            continue
        if was != now:
            pending.append(key)
        elif was is None:
            failed[key] = MISSING_SOURCE
        else:
            failed[key] = MISSING_TARGET if there is None else RECORD_DIFF
    return Comparison(failed=failed, pending=pending)


def prepare(connection: Connection) -> None:
    """Make row texts of this session comparable with those of another server."""
    connection.execute(sql.SQL(_PLAIN))


def shape(connection: Connection, table: Table) -> Shape:
    """The table's columns as the source knows them.

    Source: AWS DMS user guide, "Data validation", limitations: primary keys of unbounded types are not compared.
    """
    name = sql.Identifier(*table).as_string(connection)
    found = connection.execute(_COLUMNS, [name]).fetchall()
    key = tuple(column for column, in_key, _ in found if in_key)
    bounded = not any(in_key and unbounded for _, in_key, unbounded in found)
    return Shape(table=table, key=key if bounded else (), columns=tuple(column for column, _, _ in found))


def checksums(connection: Connection, of: Shape) -> tuple[Buckets, int]:
    """A checksum of each bucket that has rows, and how many rows there are."""
    query = sql.SQL("SELECT {}, bit_xor({}), count(*) FROM {} GROUP BY 1").format(
        _bucket(of), _row(of), sql.Identifier(*of.table)
    )
    found = connection.execute(query).fetchall()
    return {bucket: checksum for bucket, checksum, _ in found}, sum(count for _, _, count in found)


def rows(connection: Connection, of: Shape, buckets: Sequence[int]) -> Rows:
    """The rows of some buckets."""
    query = sql.SQL("SELECT {}, {} FROM {} WHERE {} = ANY(%s)").format(
        _key(of), _row(of), sql.Identifier(*of.table), _bucket(of)
    )
    return dict(connection.execute(query, [list(buckets)]).fetchall())


def position(connection: Connection) -> int:
    """Once the target has confirmed this WAL position, everything that the source shows now has arrived."""
    row = connection.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").fetchone()
    return int(row[0]) if row else 0


def differing(source: Buckets, target: Buckets) -> list[int]:
    """Buckets that are not the same on both sides."""
    return sorted(bucket for bucket in source.keys() | target.keys() if source.get(bucket) != target.get(bucket))


def _key(of: Shape) -> sql.Composed:
    return sql.SQL("ROW({})::text").format(sql.SQL(", ").join(map(sql.Identifier, of.key)))


def _row(of: Shape) -> sql.Composed:
    return sql.SQL("hashtextextended(ROW({})::text, 0)").format(sql.SQL(", ").join(map(sql.Identifier, of.columns)))


def _bucket(of: Shape) -> sql.Composed:
    return sql.SQL("(hashtextextended({}, 1) & {})::int").format(_key(of), sql.Literal(_BUCKETS - 1))
