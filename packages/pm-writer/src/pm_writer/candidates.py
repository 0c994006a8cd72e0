"""The databases among which the writer is, and how to log in to them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

REFRESH_AT_MOST_EVERY_SECONDS = 2.0

# A dead peer becomes a lost connection, which is retried, well within a request's deadline.
LIVENESS: Mapping[str, Any] = {
    "connect_timeout": 2,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 4000,
}

# Statements are prepared when their code asks for it and never by counting: psycopg takes a statement that it began to
# prepare at its sixth use for prepared even when an error in the same pipeline kept the server from doing so.
_NEVER_BY_COUNT = 2**31


class CredentialsError(Exception):
    """A provider could not say how to connect. Raised by providers; treated like a database that is down."""


class ParametersProvider(Protocol):
    """Says how to connect to one database."""

    async def __call__(self, *, refresh: bool = False) -> Mapping[str, Any]:
        """Connection parameters for psycopg: host, port, dbname, user, password, sslmode and what else libpq knows.

        Args:
            refresh: The parameters given before were refused: read them again from where they are kept.

        Raises:
            CredentialsError: They cannot be had now.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One database that may be the writer.

    Attributes:
        name: What it is called in views, logs and errors, for example ``source``.
        parameters: Called before the first connections, and with ``refresh=True`` when the server refuses what it
            returned (a rotated password).
    """

    name: str
    parameters: ParametersProvider


class Credentials:
    """Remembers a candidate's connection parameters, and reads them again when the server refuses them."""

    def __init__(self, provider: ParametersProvider) -> None:
        self._provider = provider
        self._known: Mapping[str, Any] | None = None
        self._refreshed_at = float("-inf")
        self.refreshes = 0

    async def known(self) -> Mapping[str, Any]:
        """The parameters, read at the first call."""
        if self._known is None:
            self._known = await self._provider()
        return self._known

    async def after_refusal(self, refused: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Other parameters than the refused ones, or None when there are none (yet)."""
        if self._known is not refused:
            return self._known  # another connection has read them again in the meantime
        now = time.monotonic()
        if now - self._refreshed_at < REFRESH_AT_MOST_EVERY_SECONDS:
            return None
        self._refreshed_at = now
        self.refreshes += 1
        self._known = await self._provider(refresh=True)
        return self._known


class CandidateConnection(AsyncConnection[TupleRow]):
    """A connection that takes its parameters from `Credentials` each time it is made."""

    @classmethod
    async def connect(  # type: ignore[override]  # narrower on purpose: whoever connects hands over credentials
        cls, conninfo: str = "", *, credentials: Credentials, **parameters: Any
    ) -> Self:
        """Connect in autocommit mode; once more with fresh parameters when the server refuses the password.

        Raises:
            CredentialsError: The provider failed.
            psycopg.OperationalError: The server is not there or refuses the connection.
        """
        ours = {"autocommit": True, "prepare_threshold": _NEVER_BY_COUNT}
        login = await credentials.known()
        try:
            return await super().connect(conninfo, **{**LIVENESS, **login, **parameters, **ours})
        except psycopg.OperationalError as error:
            # libpq gives no SQLSTATE for a failed connection. That the server asked for the password, and then hung
            # up, tells a refused login from a server that is down, in every language of its messages.
            if error.pgconn is None or not error.pgconn.used_password:
                raise
            fresh = await credentials.after_refusal(login)
            if fresh is None:
                raise
        return await super().connect(conninfo, **{**LIVENESS, **fresh, **parameters, **ours})
