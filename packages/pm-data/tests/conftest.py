"""A server like RDS's: a master user that is no superuser, and the roles that RDS brings."""

from collections.abc import Iterator

import psycopg
import pytest

from pm_postgres import PostgresServer

MASTER, MASTER_PASSWORD, DATABASE = "pmmaster", "master's secret", "payments"

# What a member of rds_superuser may hand on. Source: RDS user guide, "Understanding the rds_superuser role".
_RDS = f"""
CREATE ROLE rds_superuser NOLOGIN;
CREATE ROLE rds_replication NOLOGIN;
GRANT pg_monitor, pg_signal_backend, pg_read_all_data, pg_write_all_data, rds_replication TO rds_superuser
    WITH ADMIN OPTION;
GRANT SET ON PARAMETER session_replication_role TO rds_superuser WITH GRANT OPTION;
CREATE ROLE {MASTER} LOGIN NOSUPERUSER CREATEDB CREATEROLE PASSWORD '{MASTER_PASSWORD.replace("'", "''")}';
GRANT rds_superuser TO {MASTER};
"""


@pytest.fixture(scope="module")
def rds_server() -> Iterator[PostgresServer]:
    with PostgresServer(password="rdsadmin", superuser="rdsadmin") as server:
        with psycopg.connect(**server.conninfo(), autocommit=True) as connection:
            connection.execute(_RDS)
            connection.execute(f"CREATE DATABASE {DATABASE} OWNER {MASTER}")
        yield server
