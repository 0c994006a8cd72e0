"""The function behind DatabaseRoles: makes the roles in the database with the passwords of their secrets."""

import base64
import ssl
import time
from collections.abc import Mapping

import boto3
from botocore.config import Config
from pg8000.exceptions import InterfaceError
from pg8000.native import Connection, DatabaseError
from scramp import ScramMechanism  # type: ignore[import-untyped]  # ships no type information

from pm_core.custom_resources import LOG, Outcome, Request, answers
from pm_core.database_access import Credentials, SecretError, tls

from .grants import CLONES, LOGIN_ROLES, creation, privileges

_SCRAM_ITERATIONS = 4096  # PostgreSQL's own default, scram_iterations
_LOCK = 7742  # two runs at a time would fail on each other's catalog rows
_STATEMENT_SECONDS = 30
# For a connection, and then for each answer: PostgreSQL's own error comes first.
_ANSWER_SECONDS = _STATEMENT_SECONDS + 5
_RETRY_SECONDS = 2.0
_AWS = Config(connect_timeout=5, read_timeout=10, retries={"max_attempts": 5, "mode": "standard"})


class UnreachableError(TimeoutError):
    """The database did not accept a connection in time."""


class RoleError(RuntimeError):
    """PostgreSQL refused a statement; the message names it without the password that it may carry."""


def scram_verifier(password: str) -> str:
    """What PostgreSQL keeps of a password, so that the password itself is in no statement and no log.

    Source: PostgreSQL, pg_authid.rolpassword; RFC 5803.
    """
    mechanism = ScramMechanism("SCRAM-SHA-256")
    salt, stored_key, server_key, iterations = mechanism.make_auth_info(password, iteration_count=_SCRAM_ITERATIONS)
    text = [base64.b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${iterations}:{text[0]}${text[1]}:{text[2]}"


def connect(master: Credentials, *, ssl_context: ssl.SSLContext | None, seconds: float) -> Connection:
    """A connection of the master user; tries again until ``seconds`` have passed, for a database that just started.

    Raises:
        UnreachableError: No connection in time.
        DatabaseError: The server refuses this user.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return Connection(
                master.username,
                host=master.host,
                port=master.port,
                database=master.dbname,
                password=master.password,
                ssl_context=ssl_context,
                timeout=_ANSWER_SECONDS,
                application_name="pm-database-roles",
            )
        except (OSError, InterfaceError) as error:
            if time.monotonic() + _RETRY_SECONDS > deadline:
                raise UnreachableError(
                    f"{master.host}:{master.port} did not accept a connection within {seconds:.0f} s ({error})"
                ) from error
            time.sleep(_RETRY_SECONDS)


def apply(connection: Connection, *, database: str, passwords: Mapping[str, str]) -> None:
    """Make or alter the roles, in one transaction: all of it or none.

    Args:
        connection: Of the master user to ``database``.
        database: The database's name.
        passwords: The password of each login that a secret holds now: a role, or its clone.

    Raises:
        RoleError: PostgreSQL refused a statement; nothing has changed.
    """
    verifiers = {login: scram_verifier(password) for login, password in passwords.items()}
    connection.run("BEGIN")
    connection.run(f"SET LOCAL statement_timeout = '{_STATEMENT_SECONDS}s'")
    _run(connection, f"SELECT pg_advisory_xact_lock({_LOCK})")
    existing = frozenset(row[0] for row in connection.run("SELECT rolname FROM pg_roles") or [])
    for statement in (*creation(existing, verifiers), *privileges(database)):
        _run(connection, statement)
    connection.run("COMMIT")


def _run(connection: Connection, statement: str) -> None:
    try:
        connection.run(statement)
    except DatabaseError as error:
        connection.run("ROLLBACK")
        detail = error.args[0]
        raise RoleError(f"{detail['M']} [{detail['C']}] at: {statement.partition(' PASSWORD ')[0]}") from None


def work(request: Request) -> Outcome:
    """One request of CloudFormation. Properties: MasterSecretArn, RoleSecretArns (role to ARN), SslMode.

    A Delete does nothing: the roles go with their database, and before that other things still use them.
    """
    outcome = Outcome(physical_id=f"database-roles:{request.properties['MasterSecretArn']}")
    if request.kind == "Delete":
        return outcome
    secrets = boto3.client("secretsmanager", config=_AWS)

    def read(arn: str) -> Credentials:
        return Credentials.parse(secrets.get_secret_value(SecretId=arn)["SecretString"])

    passwords = {}
    for role, arn in request.properties["RoleSecretArns"].items():
        credentials = read(arn)
        if credentials.username not in (role, CLONES.get(role)):
            raise SecretError(f"the secret of {role} is of {credentials.username!r}")
        passwords[credentials.username] = credentials.password
    master = read(request.properties["MasterSecretArn"])
    context = tls(request.properties["SslMode"], seconds=request.seconds / 4)
    connection = connect(master, ssl_context=context, seconds=request.seconds / 2)
    try:
        apply(connection, database=master.dbname, passwords=passwords)
    finally:
        connection.close()
    LOG.info("roles of %s are as declared: %s", master.dbname, ", ".join(LOGIN_ROLES))
    return outcome


handle = answers(work)
