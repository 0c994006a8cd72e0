"""One PostgreSQL server on 127.0.0.1, with its own data directory."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from pm_postgres.binaries import Binaries, find_binaries, first_closed
from pm_postgres.children import free_port, spawn

START_SECONDS = 30.0
STOP_SECONDS = 15.0


class PostgresStartError(RuntimeError):
    """A server did not come up; the message ends with the last lines of its log."""


class PostgresServer:
    """A real PostgreSQL server that dies with this process.

    Args:
        password: Password of the superuser; handed to initdb through a file, never through argv.
        superuser: Name of the superuser. Default ``postgres``.
        directory: Where the data lives; must not exist. Default: a fresh temporary directory, removed by ``close``.
        settings: Server parameters, for example ``{"wal_level": "logical"}``.
        port: TCP port on 127.0.0.1. Default: a free one.

    Raises:
        PostgresMissingError: This platform has no PostgreSQL programs.
        PostgresStartError: initdb or the server failed.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        *,
        password: str,
        superuser: str = "postgres",
        directory: Path | None = None,
        settings: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> None:
        self.superuser = superuser
        self.password = password
        self.port = port or free_port()
        self.settings = dict(settings or {})
        self._binaries: Binaries = find_binaries()
        self.directory = directory or Path(tempfile.mkdtemp(prefix="pm-postgres-"))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.directory / "server.log"

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def conninfo(self, **parameters: Any) -> dict[str, Any]:
        """Keyword arguments for ``psycopg.connect`` as the superuser; ``parameters`` override them."""
        return {
            "host": self.host,
            "port": self.port,
            "user": self.superuser,
            "password": self.password,
            "dbname": "postgres",
            **parameters,
        }

    def initialize(self) -> None:
        """Make the data directory; does nothing when there is one already."""
        if self._data.exists():
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        closed = first_closed(self.directory.parent) if self._binaries.user is not None else None
        if closed is not None:
            raise PostgresStartError(
                f"started by root, PostgreSQL runs as nobody, who may not enter {closed}: "
                "set TMPDIR to a directory that every user may enter, or start this as another user"
            )
        password_file = self.directory / "password"
        descriptor = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(self.password + "\n")
        if self._binaries.user is not None:
            self.directory.chmod(0o700)
            for path in (self.directory, password_file):
                os.chown(path, self._binaries.user, -1)
        try:
            result = self._run(
                "initdb",
                *("-D", str(self._data), "-U", self.superuser, "--auth=scram-sha-256"),
                *("--pwfile", str(password_file), "-E", "UTF8", "--locale=C", "--no-instructions", "--no-sync"),
            )
        finally:
            password_file.unlink()
        if result.returncode:
            raise PostgresStartError(f"initdb failed: {result.stderr.strip()[-400:]}")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.initialize()
        options = {"listen_addresses": self.host, "port": str(self.port), "unix_socket_directories": ""} | self.settings
        with self.log.open("ab") as log:
            self.process = spawn(
                [
                    self._binaries.program("postgres"),
                    *("-D", str(self._data)),
                    *(argument for name, value in options.items() for argument in ("-c", f"{name}={value}")),
                ],
                cwd=Path("/"),
                user=self._binaries.user,
                stdout=log,
                stderr=log,
                death_signal=signal.SIGQUIT,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(**self.conninfo(connect_timeout=2)).close()
            except psycopg.OperationalError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise PostgresStartError(
                        f"PostgreSQL on port {self.port} did not start: {self._log_tail() or error}"
                    ) from error
                time.sleep(0.02)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one, SIGKILL a crash."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(STOP_SECONDS)

    def close(self) -> None:
        """Stop the server at once and remove its data."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        user = self._binaries.user
        return subprocess.run(
            [self._binaries.program(program), *arguments],
            cwd="/",
            user=user,
            group=user,
            extra_groups=[] if user is not None else None,
            capture_output=True,
            text=True,
            check=False,
        )

    def _log_tail(self) -> str:
        return self.log.read_text(errors="replace").strip()[-400:] if self.log.exists() else ""
