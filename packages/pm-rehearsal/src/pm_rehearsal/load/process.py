"""The load's process, as whoever starts it sees it."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from pm_postgres import spawn
from pm_rehearsal.load.messages import Config, Snapshot

SNAPSHOT_SECONDS = 15.0
STOP_SECONDS = 30.0


class LoadError(RuntimeError):
    """The load ended by itself, or did not reach what was waited for."""


class LoadProcess:
    """Payments until told to stop; entering starts them, leaving ends the process.

    Args:
        config: What to send where.
        log: Where the process's complaints go.
        on_status: Gets one line of figures each half second, from a thread.
    """

    def __init__(self, *, config: Config, log: Path, on_status: Callable[[str], None]) -> None:
        self._config = config
        self._log = log
        self._on_status = on_status
        self._snapshots: queue.Queue[Snapshot | None] = queue.Queue()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = spawn(
                [sys.executable, "-m", "pm_rehearsal.load"],
                env=os.environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()
        self._tell(self._config.to_json())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def wait(self, *, seconds: float = 0.0, acknowledged: int = 0, deadline_seconds: float = 300.0) -> Snapshot:
        """Let payments flow for a time, and until so many were acknowledged.

        Raises:
            LoadError: The process ended, or the number was not reached within the deadline.
        """
        begun = time.monotonic()
        while True:
            snapshot = self._next()
            passed = time.monotonic() - begun
            if passed >= seconds and snapshot.acknowledged >= acknowledged:
                return snapshot
            if passed > deadline_seconds + seconds:
                raise LoadError(
                    f"{snapshot.acknowledged} payments were acknowledged after {passed:.0f} s, {acknowledged} wanted; "
                    f"latest failure: {snapshot.last_failure or 'none'}"
                )

    def stop(self) -> Snapshot:
        """No further payments; returns when every request was answered.

        Raises:
            LoadError: The process ended before.
        """
        self._tell(json.dumps({"command": "stop"}))
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            snapshot = self._next()
            if snapshot.stopped:
                return snapshot
        raise LoadError(f"the load did not stop within {STOP_SECONDS:.0f} s")

    def _tell(self, line: str) -> None:
        if self._process is None or self._process.stdin is None:
            raise LoadError("the load was not started")
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise LoadError(self._ended()) from None

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        for line in process.stdout or ():
            snapshot = Snapshot.from_json(line.decode())
            where = ", ".join(f"{name} {count:,}" for name, count in sorted(snapshot.by_environment.items()))
            self._on_status(
                f"{snapshot.acknowledged:,} paid ({where}), {snapshot.failed} failed, "
                f"{snapshot.rate:.0f}/s, p99 {snapshot.p99_ms:.0f} ms"
            )
            self._snapshots.put(snapshot)
        self._snapshots.put(None)

    def _next(self) -> Snapshot:
        """The next snapshot; waiting ones that are older are skipped, except the last of all."""
        try:
            snapshot = self._snapshots.get(timeout=SNAPSHOT_SECONDS)
            while snapshot is not None and not snapshot.stopped and not self._snapshots.empty():
                snapshot = self._snapshots.get_nowait()
        except queue.Empty:
            raise LoadError(f"the load was silent for {SNAPSHOT_SECONDS:.0f} s: see {self._log}") from None
        if snapshot is None:
            raise LoadError(self._ended())
        return snapshot

    def _ended(self) -> str:
        said = self._log.read_text(errors="replace").strip().splitlines()
        return f"the load ended by itself: {said[-1] if said else 'it gave no reason'}"
