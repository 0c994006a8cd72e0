"""The schema's copy between two real servers."""

from collections.abc import Iterator

import pytest
from cutover_rig import PASSWORD, Rig, running_rig

from pm_cutover.control import SOURCE_WORD, TARGET_WORD, install
from pm_cutover.errors import RefusedError
from pm_cutover.schema import copy_tables, dump_schema, finish_tables
from pm_postgres import find_binaries

TABLES = ("shop.customers", "shop.orders")
SHOP = """
create schema shop authorization pm_owner;
set role pm_owner;
create type shop.state as enum ('new', 'paid');
create domain shop.money as numeric(18, 2) check (value >= 0);
create sequence shop.free_number;
create table shop.customers (id bigint generated always as identity primary key, email text not null unique);
create table shop.orders (
    region text, number bigint default nextval('shop.free_number'), customer_id bigint references shop.customers,
    state shop.state not null default 'new', total shop.money, primary key (region, number),
    constraint sensible check (total < 1000000)
);
create index orders_by_customer on shop.orders (customer_id) where state = 'new';
create function shop.touch() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger touched before update on shop.orders for each row execute function shop.touch();
create table shop.awsdms_heartbeat (a int);
reset role;
"""
CATALOG = """
select string_agg(definition, E'\\n' order by definition) from (
    select indexdef definition from pg_indexes where schemaname = 'shop'
    union all select conrelid::regclass || ' ' || pg_get_constraintdef(oid) from pg_constraint
     where connamespace = 'shop'::regnamespace
    union all select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal and tgname <> 'pm_fence'
    union all select c.oid::regclass || ' ' || pg_get_userbyid(relowner) || ' ' || relkind::text from pg_class c
     where relnamespace = 'shop'::regnamespace and relname not like 'awsdms%'
    union all select attrelid::regclass || '.' || attname || ' ' || format_type(atttypid, atttypmod)
        || ' ' || attnotnull || ' ' || attidentity::text || ' ' || coalesce(pg_get_expr(adbin, adrelid), '')
      from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
     where attnum > 0 and attrelid in (select oid from pg_class where relnamespace = 'shop'::regnamespace
                                       and relkind = 'r' and relname not like 'awsdms%')
) d
"""


@pytest.fixture(scope="module")
def servers() -> Iterator[Rig]:
    with running_rig() as (rig, _):
        yield rig


@pytest.fixture
def shop(servers: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """The shop on the source, an empty schema on the target, no control schema."""
    monkeypatch.setenv("PM_POSTGRES_BIN", str(find_binaries().directory))
    for name in ("source", "target"):
        servers.query(name, "drop schema if exists shop cascade; drop schema if exists pm_control cascade")
    servers.query("source", SHOP)
    servers.query("target", "create schema shop authorization pm_owner")
    return servers


def copy(rig: Rig) -> bool:
    with dump_schema(rig.source, schemas=["shop"]) as archive:
        return copy_tables(archive, source=rig.source, target=rig.target, tables=TABLES)


def finish(rig: Rig, timeout_seconds: float = 10) -> int:
    def ignore(what: str, number: int, total: int) -> None: ...

    with dump_schema(rig.source, schemas=["shop"]) as archive:
        return finish_tables(
            archive, source=rig.source, target=rig.target, on_entry=ignore, timeout_seconds=timeout_seconds
        )


def test_schema_is_the_same_after_both_parts_and_each_may_be_repeated(shop: Rig) -> None:
    install(shop.source, tables=TABLES, word=SOURCE_WORD)  # a fence on the source is not copied
    assert copy(shop)
    assert not copy(shop)
    install(shop.target, tables=TABLES, word=TARGET_WORD)
    before = shop.value("target", CATALOG)
    assert "PRIMARY KEY (region, number)" in before
    assert "FOREIGN KEY" not in before
    assert "orders_by_customer" not in before
    assert finish(shop) == 4  # unique, index, foreign key, trigger
    assert finish(shop) == 0
    assert shop.value("target", CATALOG) == shop.value("source", CATALOG)
    assert shop.value("target", "select to_regclass('shop.awsdms_heartbeat')") is None
    assert shop.value("target", "select count(*) from pg_trigger where tgname = 'pm_fence'") == 2


def test_a_run_that_died_between_two_indexes_is_continued(shop: Rig) -> None:
    copy(shop)
    shop.query(
        "target", "set role pm_owner; alter table shop.customers add constraint customers_email_key unique (email)"
    )
    assert finish(shop) == 3
    assert shop.value("target", CATALOG) == shop.value("source", CATALOG)


def test_half_a_schema_on_the_target_is_refused(shop: Rig) -> None:
    shop.query("target", "create table shop.orders (id int)")
    with pytest.raises(RefusedError, match=r"has shop\.orders but not all of"):
        copy(shop)


def test_a_refused_statement_leaves_nothing_behind(shop: Rig) -> None:
    shop.query("target", "create sequence shop.free_number")
    with pytest.raises(RefusedError, match="free_number"):
        copy(shop)
    assert shop.value("target", "select to_regclass('shop.customers')") is None


def test_a_lock_that_is_never_let_go_ends_the_wait(shop: Rig) -> None:
    copy(shop)
    with shop.database("target", "postgres").connect() as holder:
        with holder.transaction():
            holder.execute("insert into shop.customers (email) values ('a')")
            with pytest.raises(RefusedError, match="could not be made on the target within"):
                finish(shop, timeout_seconds=0.5)
    assert finish(shop) == 4


def test_the_password_is_never_in_an_argv(
    shop: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("bin")
    log = directory / "argv"
    for name in ("pg_dump", "pg_restore"):
        real = find_binaries().program(name)
        (directory / name).write_text(f'#!/bin/sh\necho "$0 $@" >> {log}\nexec {real} "$@"\n')
        (directory / name).chmod(0o755)
    monkeypatch.setenv("PM_POSTGRES_BIN", str(directory))
    assert copy(shop)
    assert "pg_dump" in log.read_text()
    assert PASSWORD not in log.read_text()


def test_missing_programs_are_named_with_the_variable(shop: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PM_POSTGRES_BIN")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RefusedError, match=r"pg_dump is not on PATH.*PM_POSTGRES_BIN"):
        copy(shop)
