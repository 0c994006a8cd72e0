"""Preflight against real servers: each thing that DMS would drop, stall on or load twice is found and named."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from cutover_rig import Rig, running_rig

from pm_cutover.phases.findings import Finding
from pm_cutover.phases.server_checks import check_server, check_text
from pm_cutover.phases.table_checks import check_extensions, check_source_tables, check_target_tables

TABLES = ("shop.orders", "shop.items")
SHOP = """
create schema shop;
create table shop.orders (id int primary key, note text);
create table shop.items (id int primary key, order_id int references shop.orders);
"""


@pytest.fixture(scope="module")
def servers() -> Iterator[Rig]:
    with running_rig() as (rig, _):
        yield rig


@pytest.fixture
def shop(servers: Rig) -> Rig:
    for name in ("source", "target"):
        servers.query(name, "drop schema if exists shop cascade; drop table if exists awsdms_apply_exceptions")
        servers.query(name, SHOP)
    return servers


def by_id(findings: Iterator[Finding]) -> dict[str, Finding]:
    return {finding.id: finding for finding in findings}


def source_findings(rig: Rig, *tables: str) -> dict[str, Finding]:
    with rig.database("source", "postgres").connect() as source:
        return by_id(check_source_tables(source, tables or TABLES))


@pytest.mark.parametrize(
    ("made", "finding", "says"),
    [
        ("create table shop.tags (tag text primary key)", "source.lob-keys", "shop.tags.tag"),
        ("create table shop.tags (id int primary key, tag text not null)", "source.lob-not-null", "shop.tags.tag"),
        ("create table shop.tags (id int primary key, tags int[] not null)", "source.lob-not-null", "shop.tags.tags"),
        (
            "create domain shop.tag as jsonb; create table shop.tags (id int primary key, tag shop.tag not null)",
            "source.lob-not-null",
            "shop.tags.tag",
        ),
    ],
)
def test_large_objects_that_dms_cannot_move_in_time_are_blockers(shop: Rig, made: str, finding: str, says: str) -> None:
    shop.query("source", made)
    found = source_findings(shop, "shop.tags")
    assert {one.id for one in found.values() if one.level == "blocker"} == {finding}
    assert found[finding].finding.endswith(f": {says}")
    assert "varchar(n)" in found[finding].fix


def test_text_that_may_be_null_or_has_a_length_is_ready(shop: Rig) -> None:
    shop.query("source", "create table shop.tags (tag varchar(9) primary key, more varchar(9) not null, note text)")
    assert "blocker" not in {one.level for one in source_findings(shop, "shop.tags").values()}


def target_findings(rig: Rig, *, loaded: bool = False) -> dict[str, Finding]:
    with rig.database("source", "postgres").connect() as source, rig.database("target", "postgres").connect() as target:
        return by_id(check_target_tables(source, target, TABLES, loaded=loaded))


def test_ordinary_tables_are_ready(shop: Rig) -> None:
    found = source_findings(shop)
    assert {finding.level for finding in found.values()} == {"ok"}
    assert set(found) == {f"table.{table}" for table in TABLES}


@pytest.mark.parametrize(
    ("change", "says", "fix"),
    [
        ("drop table shop.items", "does not exist on the source", "correct the setting `tables`"),
        ("alter table shop.items set unlogged", "is unlogged", "alter table shop.items set logged"),
        ("alter table shop.items drop constraint items_pkey", "has no primary key", "add a primary key to shop.items"),
        ("drop table shop.items; create view shop.items as select 1 id", "is a view", "list each partition"),
        (
            "drop table shop.items; create table shop.items (id int primary key) partition by range (id)",
            "is a partitioned table",
            "list each partition",
        ),
    ],
)
def test_a_table_that_dms_does_not_replicate_is_a_blocker(shop: Rig, change: str, says: str, fix: str) -> None:
    shop.query("source", change)
    finding = source_findings(shop)["table.shop.items"]
    assert finding.level == "blocker"
    assert says in finding.finding
    assert fix in finding.fix


def test_what_would_be_missing_on_the_target_is_named(shop: Rig) -> None:
    shop.query("source", "create table shop.carts (id int primary key); select lo_create(4711)")
    try:
        found = source_findings(shop, "shop.items")
    finally:
        shop.query("source", "select lo_unlink(4711)")
    assert "shop.carts" in found["source.other-tables"].finding
    assert found["source.foreign-keys"].level == "blocker"
    assert "shop.items -> shop.orders" in found["source.foreign-keys"].finding
    assert found["source.large-objects"].level == "warning"


def test_leftovers_of_an_earlier_task_are_a_blocker_before_the_load(shop: Rig) -> None:
    shop.query("target", "create table awsdms_apply_exceptions (a int)")
    found = target_findings(shop)
    assert found["target.dms-leftovers"].level == "blocker"
    assert "awsdms_apply_exceptions" in found["target.dms-leftovers"].finding
    assert "42P07" in found["target.dms-leftovers"].fix
    assert "target.dms-leftovers" not in target_findings(shop, loaded=True)


def test_rows_and_other_columns_on_the_target_are_blockers(shop: Rig) -> None:
    assert target_findings(shop)["target.tables"].level == "ok"
    shop.query("target", "insert into shop.orders values (1, 'old')")
    assert "shop.orders" in target_findings(shop)["target.rows"].finding
    assert "target.rows" not in target_findings(shop, loaded=True)
    shop.query("target", "alter table shop.orders alter note type varchar(10)")
    assert "shop.orders.note" in target_findings(shop)["target.tables"].finding


BASE = "create table shop.carts (id int primary key, note text, paid numeric(10, 2), at timestamptz)"


def column_finding(rig: Rig, source: str, target: str) -> Finding:
    """What is found of carts that were made alike and altered since."""
    for name, change in (("source", source), ("target", target)):
        rig.query(name, f"{BASE}; {change}")
    with rig.database("source", "postgres").connect() as there, rig.database("target", "postgres").connect() as here:
        return by_id(check_target_tables(there, here, ["shop.carts"], loaded=False))["target.tables"]


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        ("alter note set not null", "", "note is text not null on the source, text on the target"),
        ("", "alter note set default 'x'", "note is text on the source, text default 'x'::text on the target"),
        ("alter paid set default 0", "alter paid set default 1", "default 0 on the source, .* default 1 on"),
        ("", "alter paid type numeric(12, 2)", r"paid is numeric\(10,2\) on the source, numeric\(12,2\) on the target"),
        ("alter id add generated by default as identity", "", "int.* generated by default as identity on the source"),
        (
            "alter id add generated always as identity",
            "alter id add generated by default as identity",
            "generated always as identity on the source, .* generated by default as identity on the target",
        ),
        (
            "add twice numeric generated always as (paid * 2) stored",
            "add twice numeric",
            r"twice is numeric generated always as \(.*paid \* .*2.*\) stored on the source, numeric on the target",
        ),
        ("", "drop constraint carts_pkey", r"carts's key is PRIMARY KEY \(id\) on the source, missing on the target"),
        ('alter note type text collate "C"', "", 'note is text collate .*"C" on the source, text on the target'),
        ("add extra int", "", "extra is integer on the source, missing on the target"),
    ],
)
def test_a_column_that_the_load_would_leave_different_is_a_blocker(
    shop: Rig, source: str, target: str, says: str
) -> None:
    alter = [f"alter table shop.carts {change}" if change else "" for change in (source, target)]
    finding = column_finding(shop, *alter)
    assert finding.level == "blocker"
    assert re.search(says, finding.finding)
    assert "alter the target's to be the source's, or drop the tables there" in finding.fix


def test_many_differences_are_counted(shop: Rig) -> None:
    added = "alter table shop.carts " + ", ".join(f"add c{n} int" for n in range(8))
    assert "; and 3 more" in column_finding(shop, added, "").finding


def test_the_same_defaults_are_the_same_whatever_the_sessions_settings(shop: Rig) -> None:
    shop.query("source", "alter role postgres set search_path = shop; alter role postgres set datestyle = 'German'")
    shop.query("target", "alter role postgres set timezone = 'Asia/Tokyo'")
    same = (
        "create sequence shop.numbers; create type shop.mood as enum ('calm');"
        "alter table shop.carts alter id set default nextval('shop.numbers'), add mood shop.mood default 'calm',"
        "  alter at set default '2026-01-01 00:00+00', add apart timestamp default '2026-02-03'"
    )
    try:
        assert column_finding(shop, same, same).level == "ok"
    finally:
        for name in ("source", "target"):
            shop.query(name, "alter role postgres reset all")


def test_extensions_of_the_source_must_be_on_the_target(shop: Rig) -> None:
    shop.query("target", "drop extension plpgsql cascade")
    try:
        with (
            shop.database("source", "postgres").connect() as source,
            shop.database("target", "postgres").connect() as target,
        ):
            finding = check_extensions(source, target)
    finally:
        shop.query("target", "create extension plpgsql")
    assert finding.level == "blocker"
    assert "plpgsql" in finding.finding


@pytest.mark.parametrize(
    ("made", "level", "says"),
    [
        ("encoding 'LATIN1'", "blocker", "encoding is UTF8 on the source, LATIN1 on the target"),
        (
            "encoding 'UTF8' locale_provider builtin builtin_locale 'C.UTF-8'",
            "warning",
            "on the source, builtin C.UTF-8 .* sort and compare",
        ),
    ],
)
def test_text_must_be_kept_alike(servers: Rig, made: str, level: str, says: str) -> None:
    servers.query("target", f"create database other template template0 {made} lc_collate 'C' lc_ctype 'C'")
    here, there = servers.database("source", "postgres"), servers.database("target", "postgres")
    try:
        with here.connect() as source, replace(there, dbname="other").connect() as target:
            finding = check_text(source, target)
    finally:
        servers.query("target", "drop database other")
    assert finding.level == level
    assert re.search(says, finding.finding)
    with here.connect() as source, there.connect() as target:
        assert check_text(source, target).level == "ok"


def server_findings(rig: Rig, role: str = "pm_cutover") -> dict[str, Finding]:
    with rig.database("source", role).connect() as connection:
        return by_id(check_server(connection, "source"))


def test_a_server_that_is_ready_has_no_blocker(servers: Rig) -> None:
    assert "blocker" not in {finding.level for finding in server_findings(servers).values()}


def test_rights_that_the_engine_lacks_are_named(servers: Rig) -> None:
    finding = server_findings(servers, "pm_app")["source.rights"]
    assert finding.level == "blocker"
    for right in ("membership in pm_owner", "membership in rds_replication", "CREATE on the database"):
        assert right in finding.finding


def test_a_slot_that_nobody_reads_is_named(servers: Rig) -> None:
    servers.query("source", "select pg_create_logical_replication_slot('forgotten', 'pgoutput')")
    try:
        finding = server_findings(servers)["source.unread-slots"]
    finally:
        servers.query("source", "select pg_drop_replication_slot('forgotten')")
    assert finding.level == "warning"
    assert "forgotten" in finding.finding


@pytest.mark.parametrize(
    ("settings", "check", "level"),
    [
        ({"wal_level": "replica"}, "source.wal-level", "blocker"),
        ({"max_slot_wal_keep_size": "-1"}, "source.kept-wal", "warning"),
        ({"max_slot_wal_keep_size": "1GB"}, "source.kept-wal", "ok"),
        ({"max_replication_slots": "0"}, "source.slots", "blocker"),
        ({"max_wal_senders": "0"}, "source.wal-senders", "blocker"),
    ],
)
def test_settings_of_the_server_are_checked(settings: dict[str, Any], check: str, level: str) -> None:
    with running_rig(settings) as (rig, _):
        assert server_findings(rig)[check].level == level
