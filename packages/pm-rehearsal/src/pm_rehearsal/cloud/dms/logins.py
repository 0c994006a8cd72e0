"""How the data mover reaches the two databases."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 60

Connection = psycopg.Connection[tuple[Any, ...]]

# A statement that fails is copied into the server's log by default; CREATE SUBSCRIPTION contains a password.
_DISCREET = (
    "-c log_statement=none -c log_min_error_statement=panic -c log_min_duration_statement=-1 "
    # The closed side of a migration may default to read-only; publications are not what that is meant to prevent.
    "-c default_transaction_read_only=off"
)


class LoginError(RuntimeError):
    """A database refused the connection; the message never contains a password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """One user of one database.

    Attributes:
        host: Server.
        port: TCP port.
        dbname: Database.
        user: User.
        password: Kept out of ``repr``.
    """

    host: str
    port: int
    dbname: str
    user: str
    password: str = field(repr=False)

    @classmethod
    def of(cls, conninfo: Mapping[str, Any], *, dbname: str | None = None) -> "Login":
        """Read the keyword arguments of ``psycopg.connect``; ``dbname`` overrides theirs."""
        return cls(
            host=str(conninfo["host"]),
            port=int(conninfo["port"]),
            dbname=dbname or str(conninfo["dbname"]),
            user=str(conninfo["user"]),
            password=str(conninfo["password"]),
        )

    def connect(
        self, *, options: str = "", sslmode: str = "prefer", statement_seconds: int = STATEMENT_SECONDS
    ) -> Connection:
        """An autocommit connection.

        Raises:
            LoginError: The server is away or says no.
        """
        try:
            return psycopg.connect(
                host=self.host,
                port=self.port,
                dbname=self.dbname,
                user=self.user,
                password=self.password,
                sslmode=sslmode,
                connect_timeout=CONNECT_SECONDS,
                options=f"-c statement_timeout={statement_seconds}s {options}",
                application_name="aws-dms",
                autocommit=True,
            )
        except psycopg.OperationalError as error:
            raise LoginError(f"{self.user}@{self.host}:{self.port}/{self.dbname}: {_text(error)}") from error

    def connect_discreetly(self, *, statement_seconds: int = STATEMENT_SECONDS) -> Connection:
        """A connection as a superuser whose statements never reach the server's log.

        Raises:
            LoginError: The server is away or says no.
        """
        return self.connect(options=_DISCREET, statement_seconds=statement_seconds)

    def conninfo(self, *, host: str | None = None, port: int | None = None) -> str:
        """The libpq string that a subscription keeps; contains the password: for a CREATE SUBSCRIPTION only."""
        return make_conninfo(
            host=host or self.host,
            port=port or self.port,
            dbname=self.dbname,
            user=self.user,
            password=self.password,
            connect_timeout=CONNECT_SECONDS,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One end of a task.

    Attributes:
        own: What the endpoint's secret says; must be able to log in and hold the rights that DMS needs.
        admin: The instance's internal superuser; makes publications, slots and subscriptions.
        after_connect: The endpoint's AfterConnectScript; empty for none.
        sslmode: libpq's word for the endpoint's SslMode. Default ``prefer``.
    """

    own: Login
    admin: Login
    after_connect: str = ""
    sslmode: str = "prefer"

    def connect(self) -> Connection:
        """A session as DMS opens one: the endpoint's own user, its SSL mode, its AfterConnectScript run.

        Raises:
            LoginError: It cannot log in, or the script fails.
        """
        connection = self.own.connect(sslmode=self.sslmode)
        if self.after_connect:
            try:
                connection.execute(sql.SQL(self.after_connect))  # the operator's own text
            except psycopg.Error as error:
                connection.close()
                raise LoginError(f"AfterConnectScript of {self.own.user}@{self.own.host}: {_text(error)}") from error
        return connection


def _text(error: psycopg.Error) -> str:
    return (error.diag.message_primary or str(error)).strip()
