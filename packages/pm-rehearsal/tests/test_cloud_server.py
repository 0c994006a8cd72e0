import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import pm_postgres
from pm_rehearsal.cloud.launch import CloudStartError, EmbeddedCloud, inherited_environment

DEADLINE_SECONDS = 20


def processes_under(directory: Path) -> list[str]:
    """Command lines of the processes that mention a directory, or work in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                where = f"{command} {(entry / 'cwd').readlink()}"
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if str(directory) in where:
                found.append(command)
    return found


def eventually_gone(directory: Path) -> bool:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        if not processes_under(directory):
            return True
        time.sleep(0.1)
    return False


def create_database(cloud: EmbeddedCloud) -> None:
    cloud.client("rds").create_db_instance(
        DBInstanceIdentifier="payments",
        DBInstanceClass="db.t3.micro",
        Engine="postgres",
        MasterUsername="master",
        MasterUserPassword="secret-of-a-throwaway",
    )


@pytest.fixture
def occupied() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_server_answers_and_leaves_nothing_behind() -> None:
    with EmbeddedCloud() as cloud:
        assert cloud.client("sts").get_caller_identity()["Account"] == cloud.account
        state = cloud.directory
        create_database(cloud)
        assert processes_under(state)
    assert not state.exists()
    assert not processes_under(state)


def test_aws_settings_of_a_real_account_have_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with EmbeddedCloud() as cloud:
        cloud.client("s3").create_bucket(Bucket="payments")
        code = "import boto3; print([one['Name'] for one in boto3.client('s3').list_buckets()['Buckets']])"
        child = subprocess.run(
            [sys.executable, "-c", code],
            env=inherited_environment() | cloud.environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert child.stdout.strip() == "['payments']", child.stderr


def test_occupied_port_is_named_and_nothing_stays(occupied: int) -> None:
    with pytest.raises(CloudStartError, match=rf"port {occupied} .*--port") as raised:
        EmbeddedCloud(port=occupied).start()
    assert raised.value.exit_code == 2


def test_occupied_port_is_one_line_and_exit_code_two(occupied: int, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pm_rehearsal.cloud", "--port", str(occupied), "--directory", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, None])
def test_signal_or_end_of_input_ends_the_server_with_zero(ending: signal.Signals | None, tmp_path: Path) -> None:
    server = pm_postgres.spawn(
        [sys.executable, "-m", "pm_rehearsal.cloud", "--port", "0", "--directory", str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    assert server.stderr is not None
    assert json.loads(server.stdout.readline())["pid"] == server.pid
    if ending is None:
        server.stdin.close()
    else:
        server.send_signal(ending)
    assert (server.wait(DEADLINE_SECONDS), server.stderr.read()) == (0, b"")
    assert not list(tmp_path.iterdir())


def test_killed_parent_leaves_no_server_and_no_database(tmp_path: Path) -> None:
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_cloud_server import EmbeddedCloud, create_database
import time
cloud = EmbeddedCloud()
cloud.start()
create_database(cloud)
print(cloud.directory, flush=True)
time.sleep(600)
"""
    parent = pm_postgres.spawn([sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    state = Path(parent.stdout.readline().decode().strip())
    assert any("postgres" in command for command in processes_under(state))
    parent.kill()
    parent.wait(DEADLINE_SECONDS)
    assert eventually_gone(state)


def test_reset_forgets_resources_and_stops_databases() -> None:
    with EmbeddedCloud() as cloud:
        create_database(cloud)
        endpoint = cloud.client("rds").describe_db_instances()["DBInstances"][0]["Endpoint"]
        cloud.reset()
        assert cloud.client("rds").describe_db_instances()["DBInstances"] == []
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(host=endpoint["Address"], port=endpoint["Port"], user="master", connect_timeout=2)


def test_server_ends_while_a_lambda_still_runs() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("main.py", "import time\ndef handler(event, context): time.sleep(600)\n")
    with EmbeddedCloud() as cloud:
        client = cloud.client("lambda")
        client.create_function(
            FunctionName="sleeper",
            Runtime="python3.12",
            Handler="main.handler",
            Role="arn:aws:iam::123456789012:role/any",
            Timeout=900,
            Code={"ZipFile": archive.getvalue()},
        )
        client.invoke(FunctionName="sleeper", InvocationType="Event")
        os.kill(cloud.pid, signal.SIGTERM)
        assert eventually_gone(cloud.directory)
