"""The balancer process as its parent sees it."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pm_postgres
from pm_rehearsal.cloud.balancer.configuration import Configuration

STOP_SECONDS = 2.0

log = logging.getLogger(__name__)


class BalancerChild:
    """One running balancer process.

    Args:
        name: For the log.
        log_file: Gets the process's standard error.
        ports: Listener ARN -> port that it had before; a restarted balancer keeps them.
        environment: The process's environment.
        on_report: Called on a thread of this object with each report (see process.py) but ``listening``.
        on_end: Called once when the process ended and ``stop`` had not been called.
    """

    def __init__(
        self,
        *,
        name: str,
        log_file: Path,
        ports: Mapping[str, int],
        environment: Mapping[str, str],
        on_report: Callable[[dict[str, Any]], None],
        on_end: Callable[[], None],
    ) -> None:
        self.ports: dict[str, int] = {}
        self._wanted_ports = dict(ports)
        self._on_report = on_report
        self._on_end = on_end
        self._stopping = False
        self._configuration: Configuration | None = None
        with log_file.open("ab") as stderr:
            self._process = pm_postgres.spawn(
                [sys.executable, "-m", "pm_rehearsal.cloud.balancer"],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        self._reader = threading.Thread(target=self._read, name=f"balancer-{name}", daemon=True)
        self._reader.start()

    def configure(self, configuration: Configuration) -> None:
        """Send a configuration, unless it is the one sent last."""
        if configuration == self._configuration or self._process.stdin is None:
            return
        self._configuration = configuration
        wanted = tuple(
            replace(listener, bind_port=self._wanted_ports.get(listener.arn, 0)) for listener in configuration.listeners
        )
        try:
            self._process.stdin.write(replace(configuration, listeners=wanted).to_line())
            self._process.stdin.flush()
        except BrokenPipeError:
            log.warning("a balancer process ended before it took its configuration")  # the reader starts another

    def stop(self) -> None:
        """End the process; returns when it is gone."""
        self._stopping = True
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - started with a pipe
        for line in self._process.stdout:
            report = json.loads(line)
            if report["type"] == "listening":
                self.ports = report["ports"]
            else:
                self._on_report(report)
        self._process.wait(STOP_SECONDS)
        if not self._stopping:
            self._on_end()
