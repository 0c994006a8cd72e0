import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from pm_postgres import PostgresMissingError, PostgresServer, PostgresStartError, find_binaries

FAST = {"fsync": "off", "wal_level": "logical"}


@pytest.fixture(scope="module")
def server():
    with PostgresServer(password="secret", settings=FAST) as running:
        yield running


def test_server_answers_with_its_settings(server: PostgresServer):
    with psycopg.connect(**server.conninfo()) as connection:
        assert connection.execute("show wal_level").fetchone() == ("logical",)


def test_server_refuses_a_wrong_password(server: PostgresServer):
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(**server.conninfo(password="wrong"))


def test_server_keeps_its_data_over_a_crash(server: PostgresServer):
    with psycopg.connect(**server.conninfo(), autocommit=True) as connection:
        connection.execute("create table kept as select 42 as answer")
    server.stop(signal.SIGKILL)
    server.start()
    with psycopg.connect(**server.conninfo()) as connection:
        assert connection.execute("select answer from kept").fetchone() == (42,)


def test_close_removes_the_data():
    server = PostgresServer(password="secret", settings=FAST)
    server.start()
    server.close()
    assert not server.directory.exists()
    assert server.process is not None
    assert server.process.poll() is not None


def test_a_bad_setting_names_itself():
    server = PostgresServer(password="secret", settings={"no_such_setting": "1"})
    with pytest.raises(PostgresStartError, match="no_such_setting"):
        server.start()
    server.close()


def test_missing_programs_say_how_to_provide_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    find_binaries.cache_clear()
    monkeypatch.setenv("PM_POSTGRES_BIN", str(tmp_path))
    with pytest.raises(PostgresMissingError, match=r"holds no initdb and no postgres: set it to the bin directory"):
        find_binaries()
    find_binaries.cache_clear()


def test_server_dies_with_a_killed_parent():
    script = (
        "import sys, time; from pm_postgres import PostgresServer\n"
        "server = PostgresServer(password='secret', settings={'fsync': 'off'}); server.start()\n"
        "print(server.process.pid, server.directory, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid, directory = parent.stdout.readline().split()
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, f"postgres {pid} outlived its parent"
        time.sleep(0.05)
    subprocess.run(["rm", "-rf", directory], check=True)  # noqa: S607 - what the killed parent could not remove
    assert os.path.isabs(directory)  # noqa: PTH117


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives its rights away")
def test_a_directory_that_the_server_may_not_enter_is_named(tmp_path: Path):
    tmp_path.chmod(0o700)
    server = PostgresServer(password="secret", directory=tmp_path / "server")
    with pytest.raises(PostgresStartError, match=r"may not enter .*: set TMPDIR"):
        server.start()
