"""A real PostgreSQL server that looks like an RDS instance from the inside: roles, rights and parameters."""

import logging
import os
import secrets
import subprocess
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

import pm_postgres

ADMIN = "rdsadmin"
SUPERUSER = "rds_superuser"
REPLICATION = "rds_replication"
# What the members of rds_superuser hold on RDS; they can pass it on.
SUPERUSER_ROLES = (
    *("pg_monitor", "pg_signal_backend", "pg_read_all_data", "pg_write_all_data", "pg_checkpoint"),
    *("pg_create_subscription", REPLICATION),
)

# Small, durable, and room for the rehearsal's clients; these win over the parameter group.
FIXED = {
    "shared_buffers": "64MB",
    "max_connections": "200",
    "max_worker_processes": "16",
    "max_logical_replication_workers": "8",
    "max_sync_workers_per_subscription": "4",
    "wal_retrieve_retry_interval": "500ms",  # else a restarted subscription waits 5 s
}
# RDS's own values once rds.logical_replication is on; the parameter group wins over these.
LOGICAL_DEFAULTS = {"max_replication_slots": "20", "max_wal_senders": "35"}
# Parameters of RDS that change nothing here: what they ask for is not about the data.
WITHOUT_EFFECT = frozenset(
    {"rds.force_autovacuum_logging_level", "rds.log_retention_period", "shared_preload_libraries"}
)
LIBRARY_PREFIXES = ("auto_explain.", "pg_stat_statements.", "pgaudit.")

SYNC_SECONDS = 0.1
CONNECT_SECONDS = 5

log = logging.getLogger(__name__)


class ParameterError(ValueError):
    """A parameter group holds what PostgreSQL or RDS does not know."""


class Database:
    """One instance's server.

    RDS gives the right to replicate by membership of ``rds_replication``, PostgreSQL by a role attribute: a thread
    keeps the attribute in step with the membership.

    Args:
        identifier: The instance's name, for messages.
        directory: Where its data lives; must not exist.
        master: Name of the master user.
        master_password: Its password.
        database: The database that the master user owns.
        parameters: The parameter group's values.

    Raises:
        ParameterError: The parameter group holds an unknown parameter.
        PostgresStartError: The server does not start.
    """

    def __init__(
        self,
        *,
        identifier: str,
        directory: Path,
        master: str,
        master_password: str,
        database: str,
        parameters: Mapping[str, str],
    ) -> None:
        self.identifier = identifier
        self._master = master
        self._database = database
        self._parameters = server_parameters(parameters)
        self._server = pm_postgres.PostgresServer(
            password=secrets.token_urlsafe(24), superuser=ADMIN, directory=directory, settings=FIXED
        )
        self._closed = threading.Event()
        self._start(master_password)

    @property
    def host(self) -> str:
        """Address that the server listens on."""
        return self._server.host

    @property
    def port(self) -> int:
        """TCP port."""
        return self._server.port

    def admin_conninfo(self) -> dict[str, Any]:
        """Keyword arguments for ``psycopg.connect`` as ``rdsadmin``, to the instance's database."""
        return self._server.conninfo(dbname=self._database, connect_timeout=CONNECT_SECONDS)

    def set_master_password(self, password: str) -> None:
        """Change the master user's password."""
        with self._connect() as connection:
            self._set_password(connection, password)

    def change_parameters(self, parameters: Mapping[str, str]) -> None:
        """Take over a parameter group: dynamic parameters at once, static ones at the next restart, as on RDS."""
        self._parameters = server_parameters(parameters)
        self._write_parameters()
        with self._connect() as connection:
            connection.execute("SELECT pg_reload_conf()")

    def stop(self) -> None:
        """Stop the server, keep the data."""
        self._server.stop()

    def resume(self) -> None:
        """Start a stopped server on the same port."""
        self._server.start()

    def close(self) -> None:
        """Stop the server at once and remove its data."""
        self._closed.set()
        self._server.close()

    def sync_replication(self, connection: psycopg.Connection[Any]) -> None:
        """Give REPLICATION to the members of ``rds_replication``, take it from everybody else."""
        rows = connection.execute(
            "SELECT rolname, rolreplication FROM pg_roles WHERE NOT rolsuper AND rolcanlogin"
            " AND rolreplication <> pg_has_role(oid, %s, 'MEMBER')",
            (REPLICATION,),
        ).fetchall()
        for name, has in rows:
            right = sql.SQL("NOREPLICATION" if has else "REPLICATION")
            connection.execute(sql.SQL("ALTER ROLE {} {}").format(sql.Identifier(name), right))

    def _start(self, master_password: str) -> None:
        try:
            self._server.initialize()
            self._write_parameters()
            self._server.start()
            self._create_roles(master_password)
        except BaseException:
            self._server.close()
            raise
        threading.Thread(target=self._keep_in_sync, name=f"replication of {self.identifier}", daemon=True).start()

    def _connect(self, **parameters: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(**self._server.conninfo(connect_timeout=CONNECT_SECONDS, **parameters), autocommit=True)

    def _write_parameters(self) -> None:
        data = self._server.directory / "data"
        path = data / "postgresql.auto.conf"
        path.write_text("".join(f"{name} = '{_quoted(value)}'\n" for name, value in self._parameters.items()))
        if os.geteuid() == 0:
            os.chown(path, data.stat().st_uid, -1)

    def _create_roles(self, master_password: str) -> None:
        master, database = sql.Identifier(self._master), sql.Identifier(self._database)
        held = sql.SQL(", ").join(map(sql.Identifier, SUPERUSER_ROLES))
        with self._connect() as connection:
            for statement in (
                sql.SQL("CREATE ROLE {}").format(sql.Identifier(REPLICATION)),
                sql.SQL("CREATE ROLE {}").format(sql.Identifier(SUPERUSER)),
                sql.SQL("GRANT {} TO {} WITH ADMIN OPTION").format(held, sql.Identifier(SUPERUSER)),
                sql.SQL("GRANT SET ON PARAMETER session_replication_role TO {} WITH GRANT OPTION").format(
                    sql.Identifier(SUPERUSER)
                ),
                sql.SQL("CREATE ROLE {} LOGIN CREATEROLE CREATEDB").format(master),
                sql.SQL("GRANT {} TO {} WITH ADMIN OPTION").format(sql.Identifier(SUPERUSER), master),
                sql.SQL("ALTER DATABASE postgres OWNER TO {}").format(master),
            ):
                connection.execute(statement)
            if self._database != "postgres":
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, master))
            self._set_password(connection, master_password)
            self.sync_replication(connection)

    def _set_password(self, connection: psycopg.Connection[Any], password: str) -> None:
        verifier = connection.pgconn.encrypt_password(password.encode(), self._master.encode(), b"scram-sha-256")
        connection.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(self._master), sql.Literal(verifier.decode()))
        )

    def _keep_in_sync(self) -> None:
        while not self._closed.is_set():
            try:
                with self._connect() as connection:
                    while not self._closed.wait(SYNC_SECONDS):
                        self.sync_replication(connection)
            except psycopg.Error as error:  # stopped, restarting, or a role that was dropped in between
                log.debug("%s: %s", self.identifier, error)
                self._closed.wait(SYNC_SECONDS)


def server_parameters(group: Mapping[str, str]) -> dict[str, str]:
    """What a parameter group means for PostgreSQL.

    Raises:
        ParameterError: Neither PostgreSQL nor RDS has such a parameter.
    """
    result: dict[str, str] = {}
    if group.get("rds.logical_replication") == "1":
        result |= {"wal_level": "logical"} | LOGICAL_DEFAULTS
    for name, value in group.items():
        if name in FIXED or name in WITHOUT_EFFECT or name.startswith(LIBRARY_PREFIXES):
            continue
        if name == "rds.logical_replication":
            continue
        if name == "rds.force_ssl":
            if value == "1":
                log.warning("rds.force_ssl: this PostgreSQL accepts logins without TLS")
            continue
        if name not in _known_parameters():
            raise ParameterError(f"parameter group: PostgreSQL has no parameter {name!r}")
        result[name] = value
    return result


@cache
def _known_parameters() -> frozenset[str]:
    described = subprocess.run(
        [pm_postgres.find_binaries().program("postgres"), "--describe-config"],
        capture_output=True,
        text=True,
        check=True,
        user=pm_postgres.find_binaries().user,
        cwd="/",
    )
    return frozenset(line.split("\t", 1)[0] for line in described.stdout.splitlines())


def _quoted(value: str) -> str:
    return value.replace("'", "''")
