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
        left: ``schema.name`` of those that stay behind, because only the old writer has them.
    """

    read: sql.Composed
    write: sql.Composed
    left: tuple[str, ...]

    @classmethod
    def between(
        cls, a: psycopg.Connection[Any], b: psycopg.Connection[Any], *, names: tuple[str, str], may_leave: bool
    ) -> Self:
        """Prepare the copy from ``a`` to ``b``.

        One that only ``b`` has is never let pass: ``a`` dropped or renamed it, gave out numbers since that nobody can
        carry over, and ``b`` would give them out again.

        Args:
            a: Session on the old writer.
            b: Session on the new writer.
            names: What errors call the two.
            may_leave: Whether sequences that only ``a`` has may stay behind: nothing on ``b`` counts with them.

        Raises:
            RefusedError: The two do not have the same sequences, counting in the same direction.
        """
        here, there = ({row[:2]: row[2] for row in connection.execute(_LIST)} for connection in (a, b))
        left = tuple(".".join(name) for name in here if name not in there)
        found = {
            f"only on {names[0]}": () if may_leave else left,
            f"only on {names[1]}": tuple(".".join(name) for name in there if name not in here),
            "counting in different directions": tuple(
                ".".join(name) for name, ascending in here.items() if there.get(name, ascending) != ascending
            ),
        }
        if any(found.values()):
            raise RefusedError(_difference(found, names))
        shared = [(*name, ascending) for name, ascending in there.items()]
        columns: list[sql.Composable] = [sql.SQL("array[]::{}[]").format(sql.SQL(kind)) for kind in ("bigint", "bool")]
        moves: list[sql.Composable] = [sql.SQL("select 0")]
        if shared:
            columns = [
                sql.SQL("array[{}]").format(
                    sql.SQL(", ").join(
                        sql.SQL("(select {} from {})").format(sql.Identifier(column), sql.Identifier(schema, name))
                        for schema, name, _ in shared
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
                for place, (schema, name, ascending) in enumerate(shared, start=1)
            ]
        return cls(
            read=sql.SQL("select {}").format(sql.SQL(", ").join(columns)),
            write=sql.SQL(
                "with given (last, called, place) as materialized "
                "(select * from unnest(%s::bigint[], %s::bool[]) with ordinality) {}"
            ).format(sql.SQL(" union all ").join(moves)),
            left=left,
        )


def _difference(found: dict[str, tuple[str, ...]], names: tuple[str, str]) -> str:
    parts = "; ".join(f"{what}: {', '.join(which)}" for what, which in found.items() if which)
    return (
        f"{names[0]} and {names[1]} have different sequences ({parts}): create or drop them so that both have "
        "the same; one that has given out numbers must be created beyond the last of them"
    )
