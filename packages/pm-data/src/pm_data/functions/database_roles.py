"""The function behind DatabaseRoles: makes the roles in the database with the passwords of their secrets."""

import base64
import json
import os
import ssl
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import boto3
from botocore.config import Config
from pg8000.exceptions import InterfaceError
from pg8000.native import Connection, DatabaseError
from scramp import ScramMechanism  # type: ignore[import-untyped]  # ships no type information

from pm_core.custom_resources import LOG, Outcome, answers

from .grants import CLONES, LOGIN_ROLES, creation, privileges

_SCRAM_ITERATIONS = 4096  # PostgreSQL's own default, scram_iterations
_LOCK = 7742  # two runs at a time would fail on each other's catalog rows
_CONNECT_SECONDS = 10
_STATEMENT_SECONDS = 30
_RETRY_SECONDS = 2.0
_AWS = Config(connect_timeout=5, read_timeout=10, retries={"max_attempts": 5, "mode": "standard"})


class SecretError(ValueError):
    """A secret does not hold what it should; the message never holds what it does."""


class UnreachableError(TimeoutError):
    """The database did not accept a connection in time."""


class RoleError(RuntimeError):
    """PostgreSQL refused a statement; the message names it without the password that it may carry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """One secret's content.

    Attributes:
        host: Address of the database.
        port: Its TCP port.
        dbname: Its name.
        username: Who logs in.
        password: With what; not shown in a representation.
    """

    host: str
    port: int
    dbname: str
    username: str
    password: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """From a secret's JSON object.

        Raises:
            SecretError: A key is missing, which is what an unattached secret looks like.
        """
        content = json.loads(text)
        try:
            return cls(
                host=content["host"],
                port=int(content["port"]),
                dbname=content["dbname"],
                username=content["username"],
                password=content["password"],
            )
        except KeyError as error:
            raise SecretError(f"a database secret has no {error}: is it attached to the instance?") from None


def scram_verifier(password: str) -> str:
    """What PostgreSQL keeps of a password, so that the password itself is in no statement and no log.

    Source: PostgreSQL, pg_authid.rolpassword; RFC 5803.
    """
    mechanism = ScramMechanism("SCRAM-SHA-256")
    salt, stored_key, server_key, iterations = mechanism.make_auth_info(password, iteration_count=_SCRAM_ITERATIONS)
    text = [base64.b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${iterations}:{text[0]}${text[1]}:{text[2]}"


def tls(mode: str) -> ssl.SSLContext | None:
    """The TLS that an ssl mode asks for: disable, require, verify-ca or verify-full.

    The authorities of RDS are not in any operating system's store. They are read from AWS at run time, over a
    connection that is itself verified, and so never go stale.
    """
    if mode == "disable":
        return None
    context = ssl.create_default_context()
    if mode == "require":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    region = os.environ["AWS_REGION"]
    bundle = f"https://truststore.pki.rds.amazonaws.com/{region}/{region}-bundle.pem"
    with urllib.request.urlopen(bundle, timeout=_CONNECT_SECONDS) as response:
        context.load_verify_locations(cadata=response.read().decode())
    context.check_hostname = mode == "verify-full"
    # Python 3.13 asks more of an authority's certificate than RFC 5280 lets RDS's older ones say; the chain and, for
    # verify-full, the name are verified all the same.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


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
                timeout=_CONNECT_SECONDS,
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
    connection.run(f"SELECT pg_advisory_xact_lock({_LOCK})")
    existing = frozenset(row[0] for row in connection.run("SELECT rolname FROM pg_roles") or [])
    for statement in (*creation(existing, verifiers), *privileges(database)):
        try:
            connection.run(statement)
        except DatabaseError as error:
            connection.run("ROLLBACK")
            detail = error.args[0]
            raise RoleError(f"{detail['M']} [{detail['C']}] at: {statement.partition(' PASSWORD ')[0]}") from None
    connection.run("COMMIT")


def work(request_type: str, properties: Mapping[str, Any], _: Mapping[str, Any], seconds: float) -> Outcome:
    """One request of CloudFormation. Properties: MasterSecretArn, RoleSecretArns (role to ARN), SslMode.

    A Delete does nothing: the roles go with their database, and before that other things still use them.
    """
    outcome = Outcome(physical_id=f"database-roles:{properties['MasterSecretArn']}")
    if request_type == "Delete":
        return outcome
    secrets = boto3.client("secretsmanager", config=_AWS)

    def read(arn: str) -> Credentials:
        return Credentials.parse(secrets.get_secret_value(SecretId=arn)["SecretString"])

    passwords = {}
    for role, arn in properties["RoleSecretArns"].items():
        credentials = read(arn)
        if credentials.username not in (role, CLONES.get(role)):
            raise SecretError(f"the secret of {role} is of {credentials.username!r}")
        passwords[credentials.username] = credentials.password
    master = read(properties["MasterSecretArn"])
    connection = connect(master, ssl_context=tls(properties["SslMode"]), seconds=seconds / 2)
    try:
        apply(connection, database=master.dbname, passwords=passwords)
    finally:
        connection.close()
    LOG.info("roles of %s are as declared: %s", master.dbname, ", ".join(LOGIN_ROLES))
    return outcome


handle = answers(work)
