"""Who the writer is, asked of a real PostgreSQL by a user that may log in and nothing else."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pg8000.exceptions import DatabaseError

from pm_core.cdk import PG8000, function_code
from pm_core.database_access import SecretError
from pm_observability.functions import FUNCTIONS
from pm_observability.functions.status import answers
from pm_observability.functions.writer import fence, writer
from pm_postgres import PostgresServer, free_port

# As pm_cutover's control.sql grants it.
CONTROL = """
CREATE SCHEMA pm_control;
CREATE SEQUENCE pm_control.fence MINVALUE 0 START 2;
CREATE FUNCTION pm_control.word() RETURNS bigint LANGUAGE sql AS 'SELECT last_value FROM pm_control.fence';
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pm_control FROM PUBLIC;
GRANT USAGE ON SCHEMA pm_control TO PUBLIC;
GRANT SELECT ON SEQUENCE pm_control.fence TO PUBLIC;
GRANT EXECUTE ON FUNCTION pm_control.word() TO PUBLIC;
"""


class Secrets:
    """Secrets Manager's answer."""

    def __init__(self, server: PostgresServer, **changes: Any) -> None:
        content = {"host": server.host, "port": server.port, "dbname": "postgres"}
        self.content = content | {"username": "pm_status", "password": "status-secret"} | changes

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:  # noqa: N803 - boto3's spelling
        assert SecretId == "arn"
        return {"SecretString": json.dumps(self.content)}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(password="root-secret") as server:
        with psycopg.connect(**server.conninfo(), autocommit=True) as connection:
            connection.execute("CREATE ROLE pm_status LOGIN PASSWORD 'status-secret'")
        yield server


@pytest.fixture
def fenced(server: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(**server.conninfo(), autocommit=True) as connection:
        connection.execute(CONTROL)
        yield connection
        connection.execute("DROP SCHEMA pm_control CASCADE")


def test_a_database_without_a_fence_says_so(server: PostgresServer) -> None:
    found = fence(Secrets(server), secret_arn="arn", ssl_mode="disable")
    assert found == {"installed": False, "word": None, "epoch": None, "state": None}


@pytest.mark.parametrize(("word", "epoch", "state"), [(10, 1, "open"), (11, 1, "fenced"), (2, 0, "sealed")])
def test_the_word_is_read_by_a_user_without_rights(
    server: PostgresServer, fenced: psycopg.Connection[Any], word: int, epoch: int, state: str
) -> None:
    fenced.execute("SELECT setval('pm_control.fence', %s)", [word])
    found = fence(Secrets(server), secret_arn="arn", ssl_mode="disable")
    assert found == {"installed": True, "word": word, "epoch": epoch, "state": state}


def test_what_cannot_be_read_says_why_and_shows_no_password(server: PostgresServer) -> None:
    def asked(secrets: Secrets) -> str:
        return str(answers({"side": lambda: fence(secrets, secret_arn="arn", ssl_mode="disable")}, seconds=10)["side"])

    wrong = asked(Secrets(server, password="not-this"))
    assert 'password authentication failed for user "pm_status" [28P01]' in wrong
    assert "not-this" not in wrong
    assert "Can't create a connection" in asked(Secrets(server, port=free_port()))
    incomplete = Secrets(server)
    del incomplete.content["host"]
    assert "is it attached" in asked(incomplete)
    with pytest.raises(SecretError):
        fence(incomplete, secret_arn="arn", ssl_mode="disable")
    with pytest.raises(DatabaseError):
        fence(Secrets(server, dbname="nowhere"), secret_arn="arn", ssl_mode="disable")


def side(word: int | None) -> dict[str, Any]:
    if word is None:
        return {"installed": False, "word": None, "epoch": None, "state": None}
    return {"installed": True, "word": word, "epoch": word // 10, "state": ("open", "fenced", "sealed")[word % 10]}


@pytest.mark.parametrize(
    ("source", "target", "now", "finished"),
    [
        (None, None, "source", False),  # before pm replicate
        (10, 2, "source", False),
        (11, 2, None, False),  # in a move
        (12, 2, None, False),
        (12, 20, "target", False),
        (30, 22, "source", False),  # after a rollback
        (12, None, "target", True),  # after pm finish
        (None, 2, "source", False),  # a first pm replicate that died half-way
    ],
)
def test_the_writer_is_the_open_side_by_the_rule_of_the_services(
    source: int | None, target: int | None, now: str | None, finished: bool
) -> None:
    found = writer({"source": side(source), "target": side(target)})
    assert (found["open"], found["finished"]) == (now, finished)
    assert found["source"] == side(source)


@pytest.mark.parametrize("silent", ["source", "target"])
def test_the_writer_is_unknown_while_a_side_does_not_answer(silent: str) -> None:
    fences = {"source": side(10), "target": side(2), silent: {"error": "nobody listens"}}
    found = writer(fences)
    assert found["open"] is None
    assert found[silent] == {"error": "nobody listens"}


def test_the_function_imports_with_nothing_but_its_asset_and_boto3(tmp_path: Path) -> None:
    for name in ("boto3", "botocore"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "botocore" / "config.py").write_text("def Config(**_): ...")
    errors = "class BotoCoreError(Exception): ...\nclass ClientError(Exception): ..."
    (tmp_path / "botocore" / "exceptions.py").write_text(errors)
    with function_code(FUNCTIONS, PG8000) as code:
        program = (
            f"import sys; sys.path[:0] = [{str(code)!r}, {str(tmp_path)!r}]; sys.dont_write_bytecode = True;"
            "from functions import status; import pg8000; print(status.handle, pg8000.__file__)"
        )
        ran = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        assert str(code) in ran.stdout
