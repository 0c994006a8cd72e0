"""Two databases and a pool over them, as the tests of pm-writer and as a service see them."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg

from pm_postgres import PostgresServer
from pm_writer import Candidate, CredentialsError, WriterPool

CONTROL = (Path(__file__).parent / "control.sql").read_text()
WARM = (("insert into written (key) select 'warm' where false", ()),)
SCHEMA = """
drop schema if exists pm_control cascade;
drop table if exists written;
create table written (key text primary key, at timestamptz not null default clock_timestamp());
alter role app password 'app' connection limit -1;
alter role app reset all;
grant all on written to app;
"""


class Database:
    """One server's application database, as the tests and as the service see it."""

    def __init__(self, name: str, server: PostgresServer) -> None:
        self.name = name
        self.server = server
        self.password = "app"
        self.asked: list[bool] = []
        self.provider_is_down = False

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(**self.server.conninfo(), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def reset(self) -> None:
        self.password = "app"
        self.asked.clear()
        self.provider_is_down = False
        self.execute(SCHEMA)

    def install_fence(self, word: int) -> None:
        self.execute(CONTROL.replace("{word}", str(word)))

    def remove_fence(self) -> None:
        self.execute("drop schema pm_control cascade")

    def set_word(self, word: int) -> None:
        self.execute(f"select setval('pm_control.fence', {word})")

    def keys(self) -> list[str]:
        return [key for (key,) in self.execute("select key from written order by at")]

    async def parameters(self, *, refresh: bool = False) -> Mapping[str, Any]:
        self.asked.append(refresh)
        if self.provider_is_down:
            raise CredentialsError("the secret store does not answer")
        return self.server.conninfo(user="app", password=self.password, application_name="service")

    @property
    def candidate(self) -> Candidate:
        return Candidate(name=self.name, parameters=self.parameters)


@contextlib.asynccontextmanager
async def opened(*databases: Database, deadline_seconds: float = 5.0, **options: Any) -> AsyncIterator[WriterPool]:
    options = {"connections": 3, "warm": WARM, **options}
    pool = WriterPool(candidates=[one.candidate for one in databases], deadline_seconds=deadline_seconds, **options)
    async with pool:
        yield pool


async def write(pool: WriterPool, key: str) -> None:
    """An idempotent write."""
    statement = "insert into written (key) values (%s) on conflict do nothing"
    await pool.run(lambda connection: connection.execute(statement, (key,)))


@contextlib.contextmanager
def frozen(database: Database) -> Iterator[None]:
    """The whole server stands still: connections stay, nobody answers."""
    assert database.server.process is not None
    backends = [pid for (pid,) in database.execute("select pid from pg_stat_activity where pid <> pg_backend_pid()")]
    processes = [database.server.process.pid, *backends]
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)


def run(test: Coroutine[Any, Any, None], seconds: float = 30.0) -> None:
    async def limited() -> None:
        async with asyncio.timeout(seconds):
            await test

    asyncio.run(limited())


def move(old: Database, new: Database, epoch: int, pause_seconds: float = 0.0) -> None:
    """The engine's move, with plain SQL: fence, barrier, seal, open."""
    old.set_word(epoch * 10 + 2)
    with psycopg.connect(**old.server.conninfo(), autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(7741)")
        time.sleep(pause_seconds)
        new.set_word((epoch + 1) * 10)
