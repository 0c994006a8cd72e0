"""How the engine reaches one of the two PostgreSQL databases."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import psycopg

from pm_cutover.errors import PmError

Environment = Literal["source", "target"]

# The server gives up on a vanished engine (power loss, cut network) after about 11 s, and with it its locks. A commit
# of ours is durable and may write, and a session that holds a lock may idle, whatever the defaults of database and role
# say.
_SERVER_SETTINGS = (
    "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 "
    "-c synchronous_commit=on -c default_transaction_read_only=off -c idle_session_timeout=0"
)


class DatabaseUnreachableError(PmError):
    """A database refused the connection or did not answer; the message names it, never the password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """One database: where it is and how to log in.

    Attributes:
        name: ``source`` or ``target``.
        host: Host name or address.
        port: TCP port.
        dbname: Database name, ``payments`` unless configured.
        user: Role to log in as, ``pm_cutover`` for the engine.
        password: Never shown by repr, str or an error.
        ssl_mode: libpq's ``sslmode``; ``verify-full`` unless the server has no TLS (embedded AWS).
        ssl_root_certificate: File with the certificate authorities, or None for libpq's default.
        connect_timeout_seconds: Whole seconds >= 2 for one connection attempt.
    """

    name: Environment
    host: str
    port: int
    dbname: str
    user: str
    password: str = field(repr=False)
    ssl_mode: str = "verify-full"
    ssl_root_certificate: str | None = None
    connect_timeout_seconds: int = 5

    def __str__(self) -> str:
        return f"{self.name} ({self.user}@{self.host}:{self.port}/{self.dbname})"

    def parameters(self) -> dict[str, Any]:
        """Keyword arguments for ``psycopg.connect``; they hold the password."""
        values: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "dbname": self.dbname,
            "user": self.user,
            "password": self.password,
            "sslmode": self.ssl_mode,
            "connect_timeout": self.connect_timeout_seconds,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
            "options": _SERVER_SETTINGS,
        }
        if self.ssl_root_certificate is not None:
            values["sslrootcert"] = self.ssl_root_certificate
        return values

    def connect(self, *, application_name: str = "pm") -> psycopg.Connection[Any]:
        """A new connection in autocommit mode.

        Args:
            application_name: What ``pg_stat_activity`` shows.

        Raises:
            DatabaseUnreachableError: The server did not accept the connection.
        """
        try:
            return psycopg.connect(**self.parameters(), application_name=application_name, autocommit=True)
        except psycopg.OperationalError as error:
            raise DatabaseUnreachableError(f"cannot connect to {self}: {str(error).strip()}") from error


@contextmanager
def cut_after(seconds: float, *connections: psycopg.Connection[Any]) -> Iterator[None]:
    """Break the connections when the block takes longer than ``seconds``.

    A server that is frozen but whose kernel still answers would otherwise hold a statement for ever: no timeout of
    libpq or of the server covers that.

    Raises:
        psycopg.OperationalError: A statement was cut; names the servers, one of which did not answer.
    """
    servers = " or ".join(f"{one.info.host}:{one.info.port}" for one in connections if not one.closed)
    ended, cutting = threading.Event(), threading.Event()
    guard = threading.Lock()  # a file descriptor may belong to somebody else once the block has ended

    def cut() -> None:
        with guard:
            if ended.is_set():
                return
            cutting.set()
            for connection in connections:
                with suppress(psycopg.OperationalError, OSError):  # closed or broken already
                    with socket.socket(fileno=os.dup(connection.fileno())) as connected:
                        connected.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except psycopg.OperationalError as error:
        if cutting.is_set():  # libpq would say that the server closed the connection
            raise psycopg.OperationalError(f"no answer from {servers} within {seconds:g} s") from error
        raise
    finally:
        timer.cancel()
        with guard:
            ended.set()
