import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pm_postgres import PostgresServer

sys.path.insert(0, str(Path(__file__).parent))  # writer_rig

from writer_rig import Database


@pytest.fixture(scope="session")
def servers() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    settings = {"fsync": "off", "max_connections": "60"}
    with PostgresServer(password="secret", settings=settings) as one:
        with PostgresServer(password="secret", settings=settings) as other:
            for server in (one, other):
                with psycopg.connect(**server.conninfo(), autocommit=True) as connection:
                    connection.execute("create role app login password 'app'")
            yield one, other


@pytest.fixture
def source(servers: tuple[PostgresServer, PostgresServer]) -> Database:
    database = Database("source", servers[0])
    database.reset()
    return database


@pytest.fixture
def target(servers: tuple[PostgresServer, PostgresServer]) -> Database:
    database = Database("target", servers[1])
    database.reset()
    return database
