"""What must hold before a task may move data; each failure is what DMS would report, plus what to do."""

from collections.abc import Sequence
from dataclasses import dataclass

from pm_rehearsal.cloud.dms.logins import Connection
from pm_rehearsal.cloud.dms.mappings import Table, TableMappings

REPLICATION_ROLE = "rds_replication"

# What DMS takes for large objects. Source: AWS DMS user guide, "Source data types for PostgreSQL".
_LOB_COLUMNS = """
SELECT n.nspname, c.relname, coalesce(a.attnum = ANY(i.indkey), false), a.attnotnull
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_type t ON t.oid = a.atttypid JOIN pg_type b ON b.oid = coalesce(nullif(t.typbasetype, 0), t.oid)
  LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
 WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind = 'r' AND (b.typcategory = 'A' OR b.typtype = 'c' OR b.typname
       IN ('text', 'bytea', 'json', 'jsonb', 'xml', 'tsvector', 'tsquery', 'path', 'polygon', 'hstore', 'citext'))"""


class TaskError(RuntimeError):
    """The task cannot run; the message becomes its LastFailureMessage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    table: Table
    identified: bool  # has what UPDATE and DELETE need to name a row
    permitted: bool


def source_tables(connection: Connection, mappings: TableMappings) -> list[Table]:
    """Check the source, in a session of the endpoint's own user.

    Returns:
        The tables that the mappings select, sorted.

    Raises:
        TaskError: Logical replication is off, a right or a table is missing, a table has no primary key, or one that
            holds a large object.
    """
    _check_logical(connection)
    found = {entry.table: entry for entry in _tables(connection, "SELECT")}
    missing = mappings.missing(found)
    if missing:
        raise TaskError(f"{_names(missing)} in the table mappings is not on the source: create it, or correct the rule")
    tables = mappings.select(found)
    if not tables:
        raise TaskError(
            "No tables were found at task initialization. Either the selected table(s) or schema(s) no longer exist "
            "or no match was found for the table selection pattern(s)."
        )
    _refuse("user of the source endpoint may not read", [t for t in tables if not found[t].permitted], "GRANT SELECT")
    _refuse(
        "no primary key or replica identity on the source:",
        [t for t in tables if not found[t].identified],
        "add one; publishing it without would make the application's UPDATE and DELETE fail",
    )
    keyed = {(schema, table) for schema, table, in_key, _ in connection.execute(_LOB_COLUMNS) if in_key}
    _refuse("primary key with a LOB column:", [t for t in tables if t in keyed], "use a type with a length")
    return tables


def target_tables(connection: Connection, tables: Sequence[Table], *, truncate: bool) -> None:
    """Check the target, in a session of the endpoint's own user.

    Raises:
        TaskError: A table or a right is missing, triggers and foreign keys would fire, or a row that is inserted before
            its large objects are looked up would be refused.
    """
    rights = "INSERT, UPDATE, DELETE, TRUNCATE" if truncate else "INSERT, UPDATE, DELETE"
    found = {entry.table: entry for entry in _tables(connection, rights)}
    _refuse("not on the target:", [t for t in tables if t not in found], "create the schema before the task starts")
    _refuse(
        "user of the target endpoint may not write",
        [t for t in tables if not found[t].permitted],
        f"GRANT {rights}",
    )
    needed = {(schema, table) for schema, table, _, not_null in connection.execute(_LOB_COLUMNS) if not_null}
    _refuse(
        "null value in a LOB column violates not-null constraint on the target of",
        [t for t in tables if t in needed],
        "remove the constraint, or use a type with a length",
    )
    row = connection.execute("SELECT current_setting('session_replication_role')").fetchone()
    if row != ("replica",):
        _refuse(
            "triggers or foreign keys would fire on the target on",
            [t for t in tables if t in _triggered(connection)],
            "set AfterConnectScript of the target endpoint to SET session_replication_role='replica'",
        )


def _check_logical(connection: Connection) -> None:
    row = connection.execute(
        "SELECT current_setting('wal_level'), current_user,"
        " coalesce((SELECT pg_has_role(current_user, oid, 'member') FROM pg_roles WHERE rolname = %s), false)",
        [REPLICATION_ROLE],
    ).fetchone()
    level, user, member = row or ("", "", False)
    if level != "logical":
        raise TaskError(
            f"wal_level of the source is {level!r}, CDC needs 'logical': set rds.logical_replication = 1 in the "
            "instance's parameter group and reboot it"
        )
    if not member:
        raise TaskError(
            "SqlState: 42501 Message: ERROR: must be superuser or replication role to use replication slots: "
            f"GRANT {REPLICATION_ROLE} TO {user} on the source"
        )


def _tables(connection: Connection, rights: str) -> list[_Found]:
    rows = connection.execute(
        "SELECT n.nspname, c.relname,"
        " c.relreplident = 'f' OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND"
        "  CASE c.relreplident WHEN 'd' THEN i.indisprimary ELSE c.relreplident = 'i' AND i.indisreplident END),"
        " has_schema_privilege(n.oid, 'USAGE') AND"
        "  (SELECT bool_and(has_table_privilege(c.oid, r)) FROM unnest(string_to_array(%s, ', ')) r)"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname <> 'information_schema'"
        " AND n.nspname NOT LIKE 'pg\\_%%'",
        [rights],
    )
    return [_Found(table=(row[0], row[1]), identified=row[2], permitted=row[3]) for row in rows]


def _triggered(connection: Connection) -> set[Table]:
    rows = connection.execute(
        "SELECT DISTINCT n.nspname, c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE t.tgenabled IN ('O', 'A')"
    )
    return {(row[0], row[1]) for row in rows}


def _refuse(what: str, tables: Sequence[Table], advice: str) -> None:
    if tables:
        raise TaskError(f"{what} {_names(tables)}: {advice}")


def _names(tables: Sequence[Table]) -> str:
    return ", ".join(f"{schema}.{table}" for schema, table in tables)
