"""The function behind DatabaseRoles on a real PostgreSQL, as a master user that is no superuser."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from pg8000.native import Connection
from psycopg import errors

from pm_core.custom_resources import Outcome, Request
from pm_core.database_access import Credentials, SecretError
from pm_data.functions import database_roles
from pm_data.functions.database_roles import RoleError, UnreachableError, apply, connect, scram_verifier
from pm_data.functions.grants import creation
from pm_postgres import PostgresServer, free_port

DATABASE = "payments"
PASSWORDS = {
    "pm_app": "app's 100% :secret",
    "pm_dms": "dms-secret",
    "pm_cutover": "cutover\\secret",
    "pm_status": "status-secret",
}
MASTER = {"username": "pmmaster", "password": "master's secret", "dbname": DATABASE}
# Roles of RDS, of PostgreSQL and of this test may exist besides ours.
OURS = {"pm_owner", *PASSWORDS}

Login = Callable[[str], psycopg.Connection[Any]]


@contextmanager
def master(server: PostgresServer) -> Iterator[Connection]:
    credentials = Credentials(host=server.host, port=server.port, **MASTER)
    connection = connect(credentials, ssl_context=None, seconds=5)
    try:
        yield connection
    finally:
        connection.close()


@pytest.fixture(scope="module")
def server(rds_server: PostgresServer) -> PostgresServer:
    """With the roles, applied twice, and one table of the owner with one sequence."""
    for _ in range(2):
        with master(rds_server) as connection:
            apply(connection, database=DATABASE, passwords=PASSWORDS)
    with master(rds_server) as connection:
        connection.run("SET ROLE pm_owner")
        connection.run("CREATE TABLE accounts (id bigserial PRIMARY KEY, balance numeric NOT NULL)")
        connection.run("CREATE TABLE audit (account bigint)")
        connection.run(
            "CREATE FUNCTION audited() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN INSERT INTO audit VALUES (new.id); RETURN new; END$$"
        )
        connection.run("CREATE TRIGGER audited AFTER INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION audited()")
    return rds_server


@pytest.fixture
def login(server: PostgresServer) -> Iterator[Login]:
    opened: list[psycopg.Connection[Any]] = []

    def log_in(role: str) -> psycopg.Connection[Any]:
        opened.append(
            psycopg.connect(**server.conninfo(user=role, password=PASSWORDS[role], dbname=DATABASE), autocommit=True)
        )
        return opened[-1]

    yield log_in
    for connection in opened:
        connection.close()


def memberships(server: PostgresServer) -> dict[str, set[str]]:
    with psycopg.connect(**server.conninfo()) as connection:
        rows = connection.execute("SELECT member::regrole::text, roleid::regrole::text FROM pg_auth_members").fetchall()
    return {role: {group for member, group in rows if member == role} for role in OURS}


def test_roles_are_members_of_exactly_what_they_need(server: PostgresServer) -> None:
    assert memberships(server) == {
        "pm_owner": set(),
        "pm_app": set(),
        "pm_dms": {"pm_owner", "rds_replication"},
        "pm_cutover": {"pm_owner", "rds_replication", "pg_monitor", "pg_signal_backend", "pg_read_all_data"},
        "pm_status": set(),
    }


def test_no_role_has_an_attribute_beyond_logging_in(server: PostgresServer) -> None:
    with psycopg.connect(**server.conninfo()) as connection:
        rows = connection.execute(
            "SELECT rolname, rolcanlogin, rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls "
            "FROM pg_roles WHERE rolname = ANY(%s)",
            [list(OURS)],
        ).fetchall()
    assert {name: (can_login, elevated) for name, can_login, elevated in rows} == {
        "pm_owner": (False, False),
        "pm_app": (True, False),
        "pm_dms": (True, False),
        "pm_cutover": (True, False),
        "pm_status": (True, False),
    }


def test_app_reads_and_writes_the_owners_tables(login: Login) -> None:
    app = login("pm_app")
    row = app.execute("INSERT INTO accounts (balance) VALUES (1) RETURNING id").fetchone()
    assert row is not None
    app.execute("UPDATE accounts SET balance = 2 WHERE id = %s", row)
    app.execute("DELETE FROM accounts WHERE id = %s", row)
    app.execute("SELECT nextval('accounts_id_seq'), last_value FROM accounts_id_seq")


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE accounts",
        "ALTER TABLE accounts ADD COLUMN stray int",
        "DROP TABLE accounts",
        "ALTER TABLE accounts DISABLE TRIGGER audited",
        "SELECT setval('accounts_id_seq', 1)",
        "CREATE TABLE stray (id int)",
        "CREATE TEMPORARY TABLE stray (id int)",
        "CREATE SCHEMA stray",
        "SET session_replication_role = replica",
        "SET ROLE pm_owner",
        "CREATE ROLE stray",
    ],
)
def test_app_may_nothing_else(login: Login, statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        login("pm_app").execute(statement)


def test_dms_writes_without_firing_triggers(login: Login) -> None:
    dms = login("pm_dms")
    dms.execute("SET session_replication_role = replica")
    dms.execute("INSERT INTO accounts (id, balance) VALUES (1000, 1)")
    assert dms.execute("SELECT count(*) FROM audit WHERE account = 1000").fetchone() == (0,)
    dms.execute("DELETE FROM accounts WHERE id = 1000")
    dms.execute("CREATE TABLE awsdms_status (id int)")
    dms.execute("DROP TABLE awsdms_status")


@pytest.mark.parametrize("statement", ["CREATE ROLE stray", "SET ROLE pm_cutover", "SELECT * FROM pg_authid"])
def test_dms_has_no_power_over_the_server(login: Login, statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        login("pm_dms").execute(statement)


def test_cutover_makes_its_schema_and_triggers_on_the_owners_tables(login: Login) -> None:
    cutover = login("pm_cutover")
    cutover.execute("CREATE SCHEMA pm_control")
    cutover.execute("GRANT USAGE ON SCHEMA pm_control TO pm_app")
    cutover.execute(
        "CREATE FUNCTION pm_control.refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN RAISE EXCEPTION 'closed' USING ERRCODE = 'PF001'; END$$"
    )
    cutover.execute(
        "CREATE TRIGGER pm_fence BEFORE INSERT ON accounts FOR EACH STATEMENT EXECUTE FUNCTION pm_control.refuse()"
    )
    with pytest.raises(psycopg.Error, match="closed"):
        login("pm_app").execute("INSERT INTO accounts (balance) VALUES (1)")
    cutover.execute("DROP TRIGGER pm_fence ON accounts")
    cutover.execute("SELECT setval('accounts_id_seq', 5000)")
    cutover.execute("DROP SCHEMA pm_control CASCADE")


def test_status_reads_what_everybody_may_and_nothing_else(login: Login) -> None:
    cutover, status = login("pm_cutover"), login("pm_status")
    cutover.execute("CREATE SCHEMA pm_control")
    cutover.execute("GRANT USAGE ON SCHEMA pm_control TO PUBLIC")
    cutover.execute("CREATE FUNCTION pm_control.word() RETURNS bigint LANGUAGE sql AS 'SELECT 10::bigint'")
    cutover.execute("CREATE TABLE pm_control.marker (token text)")
    assert status.execute("SELECT pm_control.word()").fetchone() == (10,)
    for statement in (
        "SELECT * FROM accounts",
        "SELECT * FROM pm_control.marker",
        "CREATE TABLE stray (id int)",
        "CREATE TEMPORARY TABLE stray (id int)",
        "CREATE SCHEMA stray",
        "SET session_replication_role = replica",
        "SET ROLE pm_owner",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            status.execute(statement)
    cutover.execute("DROP SCHEMA pm_control CASCADE")


def test_what_either_of_dms_s_users_makes_the_other_one_writes_and_the_schema_s_owner_drops(
    server: PostgresServer, login: Login
) -> None:
    cutover = login("pm_cutover")
    cutover.execute("CREATE SCHEMA pm_control")
    cutover.execute("GRANT USAGE, CREATE ON SCHEMA pm_control TO pm_owner")
    with psycopg.connect(**server.conninfo(), autocommit=True) as connection:
        connection.execute("ALTER ROLE pm_dms_clone PASSWORD 'clone'")
    with psycopg.connect(
        **server.conninfo(user="pm_dms_clone", password="clone", dbname=DATABASE), autocommit=True
    ) as clone:
        clone.execute("CREATE TABLE pm_control.awsdms_apply_exceptions (id int)")
        assert clone.execute("SHOW session_replication_role").fetchone() == ("replica",)
    dms = login("pm_dms")
    dms.execute("INSERT INTO pm_control.awsdms_apply_exceptions VALUES (1)")
    dms.execute("ALTER TABLE pm_control.awsdms_apply_exceptions ADD COLUMN error text")
    with pytest.raises(errors.InsufficientPrivilege):
        login("pm_app").execute("SELECT * FROM pm_control.awsdms_apply_exceptions")
    cutover.execute("DROP SCHEMA pm_control CASCADE")
    with psycopg.connect(**server.conninfo(), autocommit=True) as connection:
        connection.execute("ALTER ROLE pm_dms_clone PASSWORD NULL")


def test_cutover_sees_and_ends_the_services_sessions(login: Login) -> None:
    app, cutover = login("pm_app"), login("pm_cutover")
    app.execute("SELECT 'in flight'")
    row = cutover.execute("SELECT query, pid FROM pg_stat_activity WHERE usename = 'pm_app' LIMIT 1").fetchone()
    assert row is not None
    assert row[0] == "SELECT 'in flight'"
    assert cutover.execute("SELECT pg_terminate_backend(%s)", [app.info.backend_pid]).fetchone() == (True,)


@pytest.mark.parametrize(
    "statement", ["CREATE ROLE stray", "SET session_replication_role = replica", "SET ROLE pm_app"]
)
def test_cutover_may_neither_make_roles_nor_pass_the_fence(login: Login, statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        login("pm_cutover").execute(statement)


def test_only_our_roles_reach_the_database(server: PostgresServer) -> None:
    with psycopg.connect(**server.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
    with pytest.raises(psycopg.OperationalError, match="does not have CONNECT privilege"):
        psycopg.connect(**server.conninfo(user="stranger", password="stranger", dbname=DATABASE))


def test_a_repeated_run_takes_over_a_new_password(server: PostgresServer, login: Login) -> None:
    with master(server) as connection:
        apply(connection, database=DATABASE, passwords=PASSWORDS | {"pm_app": "rotated"})
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        login("pm_app")
    with master(server) as connection:
        apply(connection, database=DATABASE, passwords=PASSWORDS)
    login("pm_app")


def test_a_refused_statement_changes_nothing_and_shows_no_password(rds_server: PostgresServer) -> None:
    with psycopg.connect(**rds_server.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE ROLE weak LOGIN NOCREATEROLE PASSWORD 'weak'")
        connection.execute("CREATE DATABASE other OWNER weak")
    weak = Credentials(host=rds_server.host, port=rds_server.port, dbname="other", username="weak", password="weak")
    connection = connect(weak, ssl_context=None, seconds=5)
    before = memberships(rds_server)
    with pytest.raises(RoleError, match=r"ALTER ROLE|CREATE ROLE") as raised:
        apply(connection, database="other", passwords=PASSWORDS)
    connection.close()
    assert "SCRAM" not in str(raised.value)
    assert memberships(rds_server) == before


def test_who_waits_for_another_run_for_too_long_says_so(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_roles, "_STATEMENT_SECONDS", 1)
    with psycopg.connect(**server.conninfo(dbname=DATABASE), autocommit=True) as other, master(server) as connection:
        other.execute("SELECT pg_advisory_lock(7742)")
        with pytest.raises(RoleError, match=r"statement timeout \[57014\] at: SELECT pg_advisory_xact_lock"):
            apply(connection, database=DATABASE, passwords=PASSWORDS)


def test_statements_carry_no_clear_password() -> None:
    verifier = scram_verifier("clear text")
    assert verifier.startswith("SCRAM-SHA-256$4096:")
    assert "clear" not in verifier


def test_an_absent_database_is_given_up_in_time() -> None:
    nobody = Credentials(host="127.0.0.1", port=free_port(), dbname="d", username="u", password="p")
    with pytest.raises(UnreachableError, match="did not accept a connection"):
        connect(nobody, ssl_context=None, seconds=0.1)


class Secrets:
    """Secrets Manager's answer for ARNs that are the role's name."""

    def __init__(self, server: PostgresServer, **changed: str) -> None:
        shared = {"engine": "postgres", "host": server.host, "port": server.port, "dbname": DATABASE}
        self._content = {
            role: shared | {"username": role, "password": password} for role, password in PASSWORDS.items()
        } | {"master": shared | MASTER}
        for role, username in changed.items():
            self._content[role]["username"] = username

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:  # noqa: N803 - boto3's spelling
        return {"SecretString": json.dumps(self._content[SecretId])}


def properties() -> dict[str, Any]:
    return {
        "MasterSecretArn": "master",
        "RoleSecretArns": {role: role for role in PASSWORDS},
        "SslMode": "disable",
    }


def work(kind: str) -> Outcome:
    return database_roles.work(Request(kind=kind, properties=properties(), stack_id="stack", seconds=20))


def test_a_request_makes_the_roles_and_keeps_its_identity(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_roles.boto3, "client", lambda *_, **__: Secrets(server))
    created = work("Create")
    assert work("Update") == created
    assert work("Delete") == created


def test_a_secret_of_another_role_is_refused(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_roles.boto3, "client", lambda *_, **__: Secrets(server, pm_dms="pm_app"))
    with pytest.raises(SecretError, match="pm_dms is of 'pm_app'"):
        work("Create")


def test_alternating_users_may_the_same_and_log_in_once_rotation_gave_them_a_password(server: PostgresServer) -> None:
    with psycopg.connect(**server.conninfo(dbname=DATABASE), autocommit=True) as connection:
        rows = connection.execute(
            "select r.rolname, r.rolcanlogin, a.rolpassword is null, "
            "coalesce(array_to_string(s.setconfig, ','), '') from pg_roles r join pg_authid a on a.oid = r.oid "
            "left join pg_db_role_setting s on s.setrole = r.oid where r.rolname like '%_clone' order by 1"
        ).fetchall()
        assert rows == [
            ("pm_app_clone", True, True, ""),
            ("pm_dms_clone", True, True, "session_replication_role=replica,role=pm_dms"),
        ]
        pairs = (("pm_app_clone", "pm_app"), ("pm_dms_clone", "pm_dms"), ("pm_dms_clone", "rds_replication"))
        for clone, role in pairs:
            member = connection.execute("select pg_has_role(%s, %s, 'usage')", (clone, role)).fetchone()
            assert member == (True,), (clone, role)


def test_a_secret_whose_turn_is_the_clone_s_gives_the_clone_its_password() -> None:
    statements = list(creation(frozenset(), {"pm_app_clone": "SCRAM-SHA-256$x", "pm_dms": "y", "pm_cutover": "z"}))
    with_password = {line.split()[2].strip('"') for line in statements if "PASSWORD" in line}
    assert with_password == {"pm_app_clone", "pm_dms", "pm_cutover"}
