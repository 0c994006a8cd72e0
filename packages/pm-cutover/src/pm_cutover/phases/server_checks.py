"""Preflight of one PostgreSQL server: can the engine and DMS work with it."""

from collections.abc import Iterator
from typing import Any

import psycopg

from pm_cutover.aws.replication import SLOTS
from pm_cutover.database import Environment
from pm_cutover.phases.findings import Finding, blocker, ok, warning

MINIMUM_VERSION = 140000  # multi-row hash functions and default privileges as used here

_RIGHTS = """
select pg_has_role(current_user, 'pm_owner', 'member'),
       (select rolreplication or rolsuper from pg_roles where rolname = current_user)
       or exists (select from pg_roles where rolname = 'rds_replication'
                                         and pg_has_role(current_user, oid, 'member')),
       has_database_privilege(current_database(), 'create')
 where exists (select from pg_roles where rolname = 'pm_owner')"""

# The columns that hold a locale have changed their names between versions: as JSON, absent ones are null.
_TEXT = """
select pg_encoding_to_char(encoding), concat_ws(' ',
           case coalesce(d ->> 'datlocprovider', 'c') when 'i' then 'ICU' when 'b' then 'builtin' else 'libc' end,
           coalesce(d ->> 'datlocale', d ->> 'daticulocale'), d ->> 'datcollate', d ->> 'datctype')
  from pg_database, to_jsonb(pg_database) d where datname = current_database()"""


def check_server(connection: psycopg.Connection[Any], name: Environment) -> Iterator[Finding]:
    """Version, logical replication, rights and free slots of a server.

    Args:
        connection: Logged in as the engine.
        name: Which side it is.
    """
    version = connection.info.server_version
    if version < MINIMUM_VERSION:
        yield blocker(
            f"{name}.version", f"PostgreSQL {version // 10000}", "upgrade the instance to PostgreSQL 14 or newer"
        )
    else:
        yield ok(f"{name}.version", f"PostgreSQL {version // 10000}.{version % 10000}")
    yield _wal_level(connection, name)
    yield from _rights(connection, name)
    yield from _slots(connection, name)
    yield _kept_wal(connection, name)


def check_text(source: psycopg.Connection[Any], target: psycopg.Connection[Any]) -> Finding:
    """Both databases keep text in the same encoding, and sort it alike."""
    ((encoding, locale),), ((there, other),) = (connection.execute(_TEXT).fetchall() for connection in (source, target))
    if encoding != there:
        return blocker(
            "target.text",
            f"encoding is {encoding} on the source, {there} on the target",
            "make the target's database anew with the source's encoding",
        )
    if locale != other:
        return warning(
            "target.text",
            f"locale is {locale} on the source, {other} on the target: text may sort and compare differently",
            "make the target's database anew with the source's locale, unless no query depends on it",
        )
    return ok("target.text", f"{encoding}, {locale}, as on the source")


def _wal_level(connection: psycopg.Connection[Any], name: Environment) -> Finding:
    level = _setting(connection, "wal_level")
    if level == "logical":
        return ok(f"{name}.wal-level", "logical")
    return blocker(
        f"{name}.wal-level",
        f"wal_level is {level}",
        "set rds.logical_replication = 1 in the instance's parameter group and reboot it",
    )


def _rights(connection: psycopg.Connection[Any], name: Environment) -> Iterator[Finding]:
    row = connection.execute(_RIGHTS).fetchone()
    owner, replication, create = row if row is not None else (False, False, False)
    missing = [
        what
        for have, what in (
            (owner, "membership in pm_owner"),
            (replication, "membership in rds_replication"),
            (create, "CREATE on the database"),
        )
        if not have
    ]
    if missing:
        yield blocker(
            f"{name}.rights",
            f"{connection.info.user} lacks {', '.join(missing)}",
            f"deploy the {name}'s data stack again: its custom resource DatabaseRoles grants it",
        )
    else:
        yield ok(f"{name}.rights", f"{connection.info.user} may do what the engine does")


def _slots(connection: psycopg.Connection[Any], name: Environment) -> Iterator[Finding]:
    row = connection.execute(
        "select count(*), count(*) filter (where slot_name = %s), "
        "coalesce(string_agg(slot_name, ', ' order by slot_name) filter (where not active and slot_name <> %s), '') "
        "from pg_replication_slots",
        (SLOTS[name], SLOTS[name]),
    ).fetchone()
    used, own, unread = row if row is not None else (0, 0, "")
    limit = int(_setting(connection, "max_replication_slots"))
    if used - own >= limit:
        yield blocker(
            f"{name}.slots",
            f"{used} of {limit} replication slots are used",
            "drop slots that nobody reads, or raise max_replication_slots in the parameter group",
        )
    else:
        yield ok(f"{name}.slots", f"{used} of {limit} replication slots are used")
    if unread:
        yield warning(
            f"{name}.unread-slots",
            f"slots without a reader keep write-ahead log for ever: {unread}",
            "drop them with pg_drop_replication_slot if nothing will read them again",
        )
    senders = int(_setting(connection, "max_wal_senders"))
    row = connection.execute("select count(*) from pg_stat_replication").fetchone()
    busy = int(row[0]) if row is not None else 0
    if busy >= senders:
        yield blocker(
            f"{name}.wal-senders",
            f"{busy} of {senders} WAL senders are busy",
            "raise max_wal_senders in the parameter group and reboot",
        )


def _kept_wal(connection: psycopg.Connection[Any], name: Environment) -> Finding:
    kept = _setting(connection, "max_slot_wal_keep_size")
    if kept == "-1":
        return warning(
            f"{name}.kept-wal",
            "max_slot_wal_keep_size is unlimited: a stopped task fills the disk",
            "set it below the free storage and watch the alarm on OldestReplicationSlotLag",
        )
    return ok(f"{name}.kept-wal", f"slots keep at most {kept} of write-ahead log")


def _setting(connection: psycopg.Connection[Any], name: str) -> str:
    row = connection.execute("select current_setting(%s)", (name,)).fetchone()
    return str(row[0]) if row is not None else ""
