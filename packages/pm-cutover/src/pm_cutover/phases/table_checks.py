"""Preflight of the replicated tables: what DMS would drop, stall on or load twice."""

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg

from pm_cutover.phases.findings import Finding, blocker, ok, warning

_TABLES = """
select n.nspname || '.' || c.relname, c.relkind::text, c.relpersistence::text,
       exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p', 'f', 'v', 'm') and n.nspname || '.' || c.relname = any(%s)"""

_SIBLINGS = """
select n.nspname || '.' || c.relname
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and n.nspname = any(%s) and n.nspname <> 'pm_control'
   and not n.nspname || '.' || c.relname = any(%s) and c.relname not like 'awsdms\\_%%'
 order by 1"""

_OUTSIDE = """
select f.conrelid::regclass::text || ' -> ' || f.confrelid::regclass::text
  from pg_constraint f
  join pg_class c on c.oid = f.conrelid join pg_namespace n on n.oid = c.relnamespace
  join pg_class o on o.oid = f.confrelid join pg_namespace m on m.oid = o.relnamespace
 where f.contype = 'f' and n.nspname || '.' || c.relname = any(%s)
   and not m.nspname || '.' || o.relname = any(%s)"""

_COLUMNS = """
select n.nspname || '.' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
 where n.nspname || '.' || c.relname = any(%s)"""

_KINDS = {"p": "a partitioned table", "f": "a foreign table", "v": "a view", "m": "a materialized view"}


def check_source_tables(source: psycopg.Connection[Any], tables: Sequence[str]) -> Iterator[Finding]:
    """Each replicated table on the source: there, ordinary, logged, with a primary key.

    Args:
        source: Connection to the source.
        tables: ``schema.table`` each, from the tasks' mappings.
    """
    found = {str(row[0]): row for row in source.execute(_TABLES, (list(tables),))}
    for table in tables:
        check = f"table.{table}"
        if table not in found:
            yield blocker(
                check, "does not exist on the source", "correct the setting `tables` and deploy the replication stack"
            )
            continue
        _, kind, persistence, keyed = found[table]
        if kind != "r":
            yield blocker(
                check, f"is {_KINDS[kind]}", "DMS replicates ordinary tables: list each partition in `tables` instead"
            )
        elif persistence != "p":
            yield blocker(
                check, "is unlogged: its changes are not in the write-ahead log", f"alter table {table} set logged"
            )
        elif not keyed:
            yield blocker(
                check,
                "has no primary key: updates and deletes would fail for the application",
                f"add a primary key to {table} on the source",
            )
        else:
            yield ok(check, "ready")
    schemas = sorted({table.partition(".")[0] for table in tables})
    siblings = [str(row[0]) for row in source.execute(_SIBLINGS, (schemas, list(tables)))]
    if siblings:
        yield warning(
            "source.other-tables",
            f"not replicated, so empty on the target: {', '.join(siblings)}",
            "add them to the setting `tables` if the service needs them",
        )
    outside = [str(row[0]) for row in source.execute(_OUTSIDE, (list(tables), list(tables)))]
    if outside:
        yield blocker(
            "source.foreign-keys",
            f"foreign keys leave the replicated tables: {', '.join(outside)}",
            "add the referenced tables to the setting `tables`",
        )
    row = source.execute("select exists (select from pg_largeobject_metadata)").fetchone()
    if row is not None and row[0]:
        yield warning(
            "source.large-objects",
            "the source has large objects, which are not replicated",
            "move them into bytea columns, or copy them yourself",
        )


def check_extensions(source: psycopg.Connection[Any], target: psycopg.Connection[Any]) -> Finding:
    """Every extension of the source is on the target; the schema's copy does not create extensions."""
    names = "select extname from pg_extension order by 1"
    here = {str(row[0]) for row in target.execute(names)}
    missing = [str(row[0]) for row in source.execute(names) if row[0] not in here]
    if missing:
        return blocker(
            "target.extensions",
            f"the source has extensions that the target lacks: {', '.join(missing)}",
            "create them on the target as its master user",
        )
    return ok("target.extensions", "as on the source")


def check_target_tables(
    source: psycopg.Connection[Any], target: psycopg.Connection[Any], tables: Sequence[str], *, loaded: bool
) -> Iterator[Finding]:
    """The target has none of the tables, or the same, and no rows before the load.

    Args:
        source: Connection to the source.
        target: Connection to the target.
        tables: The replicated tables.
        loaded: Whether the load has ever been started; then rows are expected.
    """
    there = {str(row[0]) for row in source.execute(_COLUMNS, (list(tables),))}
    here = {str(row[0]) for row in target.execute(_COLUMNS, (list(tables),))}
    if not here:
        yield ok("target.tables", "none of them there yet")
    elif here != there:
        yield blocker(
            "target.tables",
            f"columns differ from the source's: {', '.join(sorted(here ^ there)[:5])}",
            "make both sides the same, or drop the tables on the target",
        )
    else:
        filled = [table for table in tables if not loaded and has_rows(target, table)]
        if filled:
            yield blocker(
                "target.rows",
                f"rows before the load in {', '.join(filled)}",
                "truncate them on the target: loaded rows would collide",
            )
        else:
            yield ok("target.tables", "the same as on the source")
    leftovers = [
        str(row[0])
        for row in target.execute(
            "select oid::regclass::text from pg_class where relname like 'awsdms\\_%' and relkind = 'r'"
        )
    ]
    if leftovers and not loaded:
        yield blocker(
            "target.dms-leftovers",
            f"an earlier DMS task left {', '.join(leftovers)}",
            "drop them on the target: a new task fails on them with 42P07",
        )


def has_rows(connection: psycopg.Connection[Any], table: str) -> bool:
    """Whether a table, ``schema.table``, holds anything."""
    name = psycopg.sql.Identifier(*table.split(".", 1))
    row = connection.execute(psycopg.sql.SQL("select exists (select from {})").format(name)).fetchone()
    return row is not None and bool(row[0])
