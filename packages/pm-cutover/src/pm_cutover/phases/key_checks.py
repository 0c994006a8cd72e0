"""Preflight of the replicated tables' keys: by which DMS finds the row that a change is about (docs/decisions/0015)."""

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg

from pm_cutover.phases.findings import Finding, blocker

# What an update or a delete says about the row before it: by default the primary key, unless that one is deferrable.
_IDENTITIES = """
select n.nspname || '.' || c.relname
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  join pg_index i on i.indrelid = c.oid and i.indisprimary
 where c.relkind = 'r' and n.nspname || '.' || c.relname = any(%s)
   and not (c.relreplident = 'f' or c.relreplident = 'd' and i.indimmediate)
 order by 1"""

_CASCADES = """
select n.nspname || '.' || c.relname || ': ' || f.conname
  from pg_constraint f join pg_class c on c.oid = f.conrelid join pg_namespace n on n.oid = c.relnamespace
  join pg_constraint k on k.conrelid = c.oid and k.contype = 'p' and k.conkey && f.conkey
 where f.contype = 'f' and f.confupdtype in ('c', 'n', 'd') and n.nspname || '.' || c.relname = any(%s)
 order by 1"""

_COALESCING = """
select i.indexrelid::regclass::text
  from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace
 where i.indisunique and i.indexprs is not null and pg_get_indexdef(i.indexrelid) ~* 'coalesce'
   and n.nspname || '.' || c.relname = any(%s)
 order by 1"""


def check_keys(source: psycopg.Connection[Any], tables: Sequence[str]) -> Iterator[Finding]:
    """What bars a table for its keys.

    Args:
        source: Connection to the source.
        tables: ``schema.table`` each.
    """
    for check, query, what, fix in (
        (
            "source.replica-identity",
            _IDENTITIES,
            "updates and deletes do not say the primary key of their row",
            "alter table ... replica identity default, with a primary key that is not deferrable: else rows that are "
            "deleted stay on the target",
        ),
        (
            "source.key-updates",
            _CASCADES,
            "foreign keys change primary keys by themselves",
            "let them refuse (on update no action): DMS ignores the update of a primary key",
        ),
        (
            "source.coalesce",
            _COALESCING,
            "unique indexes use coalesce",
            "write them without (nulls not distinct, or two partial indexes): DMS does not replicate such a table",
        ),
    ):
        if found := [str(name) for (name,) in source.execute(query, (list(tables),))]:
            yield blocker(check, f"{what}: {', '.join(found)}", fix)
