"""Carrying the positions of all sequences from the old writer to the new one, never backwards."""

from dataclasses import dataclass
from typing import Any, Self

import psycopg
from psycopg import sql

from pm_cutover.errors import RefusedError

# Free-standing sequences too. DMS keeps tables of its own (awsdms_*), whose sequences belong to one side only.
_LIST = """
    select n.nspname, c.relname, s.seqincrement > 0
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_sequence s on s.seqrelid = c.oid
    where n.nspname not in ('pm_control', 'information_schema') and n.nspname !~ '^pg_' and c.relname !~ '^awsdms_'
    order by 1, 2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceValues:
    """Positions of the sequences, in SequenceCopy's order.

    Attributes:
        last: ``last_value`` of each.
        called: ``is_called`` of each: whether ``last`` has been handed out.
    """

    last: tuple[int, ...]
    called: tuple[bool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceCopy:
    """Two statements that read every sequence at once and move every sequence at once.

    Attributes:
        read: Answers one row of two arrays, ``last_value`` and ``is_called``. No parameters.
        write: Moves those that are behind. Parameters: the two arrays.
    """

    read: sql.Composed
    write: sql.Composed

    @classmethod
    def between(cls, a: psycopg.Connection[Any], b: psycopg.Connection[Any], *, names: tuple[str, str]) -> Self:
        """Prepare the copy from ``a`` to ``b``.

        Raises:
            RefusedError: The two do not have the same sequences.
        """
        here, there = (connection.execute(_LIST).fetchall() for connection in (a, b))
        if here != there:
            raise RefusedError(_difference(here, there, names))
        columns: list[sql.Composable] = [sql.SQL("array[]::{}[]").format(sql.SQL(kind)) for kind in ("bigint", "bool")]
        moves: list[sql.Composable] = [sql.SQL("select 0")]
        if here:
            columns = [
                sql.SQL("array[{}]").format(
                    sql.SQL(", ").join(
                        sql.SQL("(select {} from {})").format(sql.Identifier(column), sql.Identifier(schema, name))
                        for schema, name, _ in here
                    )
                )
                for column in ("last_value", "is_called")
            ]
            moves = [
                sql.SQL(
                    "select setval({literal}::regclass, given.last, given.called) "
                    "from given, {sequence} own where given.place = {place} "
                    "and ({sign} given.last, given.called) > ({sign} own.last_value, own.is_called)"
                ).format(
                    literal=sql.Literal(sql.Identifier(schema, name).as_string(b)),
                    sequence=sql.Identifier(schema, name),
                    place=sql.Literal(place),
                    sign=sql.SQL("" if ascending else "-"),
                )
                for place, (schema, name, ascending) in enumerate(here, start=1)
            ]
        return cls(
            read=sql.SQL("select {}").format(sql.SQL(", ").join(columns)),
            write=sql.SQL(
                "with given (last, called, place) as materialized "
                "(select * from unnest(%s::bigint[], %s::bool[]) with ordinality) {}"
            ).format(sql.SQL(" union all ").join(moves)),
        )


def _difference(here: list[Any], there: list[Any], names: tuple[str, str]) -> str:
    parts = []
    for side, mine, other in ((names[0], here, there), (names[1], there, here)):
        only = [f"{schema}.{name}" for schema, name, _ in mine if (schema, name) not in {row[:2] for row in other}]
        if only:
            parts.append(f"only on {side}: {', '.join(only)}")
    found = "; ".join(parts) or "the same names count in different directions"
    return (
        f"{names[0]} and {names[1]} have different sequences ({found}): create or drop them so that both have the same"
    )
