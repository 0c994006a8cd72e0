"""One table as the comparison sees it: its key, its columns, and the SQL that reads ranges of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from pm_cutover.database import Database, cut_after
from pm_cutover.errors import RefusedError

DESCRIBE_SECONDS = 60.0  # for settings and catalogs; a server that takes longer is frozen

Key = tuple[str, ...]  # one row's primary key, each column as PostgreSQL's text of it

# Types whose built-in hash goes by value and is the same on every server. All others are hashed as text: hashes of
# enums contain the type's object id, which differs between servers, and json, xml or geometric types have no hash.
_HASHED_BY_VALUE = frozenset(
    {
        *("bool", "int2", "int4", "int8", "oid", "float4", "float8", "numeric"),
        *("text", "varchar", "bpchar", "name", "bytea", "uuid", "jsonb", "inet", "cidr", "macaddr"),
        *("date", "time", "timetz", "timestamp", "timestamptz", "interval"),
    }
)

# The same text of the same value on both sides, whatever the roles' and servers' own settings are.
_SESSION = {
    "timezone": "UTC",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "jit": "off",
    "default_transaction_read_only": "on",
}

_COLUMNS = """
select a.attname, format_type(a.atttypid, a.atttypmod), t.typname, a.attgenerated <> ''
  from pg_attribute a
  join pg_type t on t.oid = a.atttypid
 where a.attrelid = to_regclass(%s) and a.attnum > 0 and not a.attisdropped
 order by a.attname"""

_KEY = """
select a.attname
  from pg_index i
  cross join unnest(i.indkey) with ordinality k(attnum, position)
  join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
 where i.indrelid = to_regclass(%s) and i.indisprimary
 order by k.position"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The rows with ``after < key <= until``; None is open at that end."""

    after: Key | None = None
    until: Key | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """What a range holds, independent of order.

    Attributes:
        rows: How many rows.
        xor: Bitwise xor of the rows' 64-bit hashes.
        total: Sum of the hashes' low words, so that two equal rows do not cancel out.
    """

    rows: int
    xor: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedTable:
    """A table on both sides.

    Attributes:
        name: ``schema.table``.
        key: Columns of the primary key, in its order.
        key_types: Their types, as PostgreSQL writes them.
        columns: Every column and whether its hash goes by value.
    """

    name: str
    key: tuple[str, ...]
    key_types: tuple[str, ...]
    columns: tuple[tuple[str, bool], ...]

    def digest(self, bounds: Range) -> sql.Composed:
        """SQL: (rows, xor, total) of a range."""
        return sql.SQL(
            "select count(*), coalesce(bit_xor(h), 0), coalesce(sum(h & 4294967295), 0) "
            "from (select {hash} h from {table} t where {range} offset 0) x"
        ).format(hash=self._hash(), table=self._table(), range=self._within(bounds))

    def rows(self, bounds: Range) -> sql.Composed:
        """SQL: (key columns as text..., hash) of a range."""
        return sql.SQL("select {key}, {hash} from {table} t where {range}").format(
            key=self._key_texts(), hash=self._hash(), table=self._table(), range=self._within(bounds)
        )

    def rows_of(self, keys: Sequence[Key]) -> sql.Composed:
        """SQL: (key columns as text..., hash) of the rows with these keys."""
        wanted = sql.SQL(", ").join(self._key_values(key) for key in keys)
        return sql.SQL("select {key}, {hash} from {table} t where ({columns}) in ({wanted})").format(
            key=self._key_texts(), hash=self._hash(), table=self._table(), columns=self._key_columns(), wanted=wanted
        )

    def boundary(self, bounds: Range, rows: int) -> sql.Composed:
        """SQL: the key of the range's ``rows``-th row; no row when the range has fewer."""
        return sql.SQL("select {key} from {table} t where {range} order by {order} offset {skip} limit 1").format(
            key=self._key_texts(),
            table=self._table(),
            range=self._within(bounds),
            order=self._key_columns(),
            skip=sql.Literal(rows - 1),
        )

    def describe(self, key: Key) -> str:
        """A key as an operator reads it, for example ``id=42``."""
        return ", ".join(f"{column}={value}" for column, value in zip(self.key, key, strict=True))

    def _table(self) -> sql.Composable:
        return sql.Identifier(*self.name.split(".", 1))

    def _key_columns(self) -> sql.Composed:
        # Qualified: `order by id` would mean the output column of that name, which is text.
        return sql.SQL(", ").join(sql.Identifier("t", column) for column in self.key)

    def _key_texts(self) -> sql.Composed:
        return sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier("t", column)) for column in self.key)

    def _key_values(self, key: Key) -> sql.Composed:
        values = (
            sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(kind))  # the type's name comes from format_type
            for value, kind in zip(key, self.key_types, strict=True)
        )
        return sql.SQL("({})").format(sql.SQL(", ").join(values))

    def _hash(self) -> sql.Composed:
        columns = (
            sql.Identifier("t", column) if by_value else sql.SQL("{}::text").format(sql.Identifier("t", column))
            for column, by_value in self.columns
        )
        return sql.SQL("hash_record_extended(row({}), 0)").format(sql.SQL(", ").join(columns))

    def _within(self, bounds: Range) -> sql.Composed:
        conditions = [
            sql.SQL("({}) {} {}").format(self._key_columns(), sql.SQL(operator), self._key_values(key))
            for operator, key in ((">", bounds.after), ("<=", bounds.until))
            if key is not None
        ]
        return sql.SQL(" and ").join(conditions) if conditions else sql.Composed([sql.SQL("true")])


def comparison_session(database: Database) -> psycopg.Connection[Any]:
    """An autocommit connection that reads values as text in one way, and can only read.

    Raises:
        DatabaseUnreachableError: No connection.
        psycopg.OperationalError: The server does not answer.
    """
    connection = database.connect(application_name="pm verify")
    with cut_after(DESCRIBE_SECONDS, connection):
        for name, value in _SESSION.items():
            connection.execute("select set_config(%s, %s, false)", (name, value))
    return connection


def describe_table(source: psycopg.Connection[Any], target: psycopg.Connection[Any], name: str) -> ComparedTable:
    """A table that is on both sides, with the same columns and a primary key.

    Args:
        source: One database.
        target: The other one.
        name: ``schema.table``.

    Raises:
        RefusedError: The table is missing somewhere, has no primary key, or the columns differ.
        psycopg.OperationalError: A server does not answer.
    """
    with cut_after(DESCRIBE_SECONDS, source, target):
        columns = source.execute(_COLUMNS, (name,)).fetchall()
        others = target.execute(_COLUMNS, (name,)).fetchall()
        key = tuple(str(row[0]) for row in source.execute(_KEY, (name,)))
    for side, found in (("source", columns), ("target", others)):
        if not found:
            raise RefusedError(f"table {name} does not exist on the {side}: check the setting `tables`")
    if columns != others:
        differing = sorted({str(row[0]) for row in set(columns) ^ set(others)})
        raise RefusedError(
            f"table {name}: column {', '.join(differing)} differs between source and target: "
            "apply the same schema change to both, then run again"
        )
    if not key:
        raise RefusedError(f"table {name} has no primary key: rows cannot be told apart; add one on the source")
    types = {str(row[0]): str(row[1]) for row in columns}
    return ComparedTable(
        name=name,
        key=key,
        key_types=tuple(types[column] for column in key),
        columns=tuple((str(row[0]), row[2] in _HASHED_BY_VALUE) for row in columns),
    )
