"""What containers write, brought to the log groups that their ``awslogs`` driver names; best effort, in batches."""

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

from pm_rehearsal.cloud.ecs.containers import Container
from pm_rehearsal.cloud.extension import Extension

BATCH_BYTES = 256 * 1024

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Followed:
    container: Container
    destination: dict[str, Any]  # MiniStack's form: group, stream, region, create_group
    scope: tuple[str, str]
    offset: int = 0


class LogForwarder:
    """Follows log files; ``flush`` sends what is new."""

    def __init__(self, extension: Extension) -> None:
        self._ecs = extension.module("services.ecs")
        self._logs = extension.module("services.cloudwatch_logs")
        self._request_scope = extension.module("core.responses").request_scope
        self._lock = threading.Lock()
        self._followed: list[_Followed] = []

    def follow(self, container: Container, destination: dict[str, Any], scope: tuple[str, str]) -> None:
        """Forward this container's output from now on, until it ended and all was sent."""
        account, region = scope
        with self._lock:
            self._followed.append(_Followed(container, destination, (account, destination.get("region") or region)))

    def flush(self) -> None:
        """Send what was written since the last call, at most one batch of each container."""
        with self._lock:
            followed = list(self._followed)
        for item in followed:
            ended = item.container.exit_code() is not None
            sent = self._send(item, to_the_end=ended)
            if ended and not sent:
                with self._lock:
                    self._followed.remove(item)

    def drain(self, container: Container) -> None:
        """Send all that an ended container wrote: its log is whole before anybody hears that it has stopped."""
        with self._lock:
            ended = [item for item in self._followed if item.container is container]
            self._followed = [item for item in self._followed if item.container is not container]
        for item in ended:
            while self._send(item, to_the_end=True):
                pass

    def clear(self) -> None:
        """Forget every container."""
        with self._lock:
            self._followed.clear()

    def _send(self, item: _Followed, *, to_the_end: bool) -> bool:
        with item.container.log_file.open("rb") as file:
            file.seek(item.offset)
            data = file.read(BATCH_BYTES)
        end = len(data) if to_the_end or len(data) == BATCH_BYTES else data.rfind(b"\n") + 1
        lines = data[:end].decode(errors="replace").splitlines()
        if not lines:
            return False
        item.offset += end
        now = int(time.time() * 1000)
        with self._request_scope(*item.scope):
            if self._ecs._ensure_awslogs_stream(item.destination):
                self._logs._put_log_events(
                    {
                        "logGroupName": item.destination["group"],
                        "logStreamName": item.destination["stream"],
                        "logEvents": [{"timestamp": now, "message": line} for line in lines if line],
                    }
                )
        return True
