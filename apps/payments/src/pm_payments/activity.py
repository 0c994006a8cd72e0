"""Which requests are in flight, and when a process that was told to end may do so."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Activity:
    """Counts requests, and watches the process drain."""

    def __init__(self) -> None:
        self.draining = False
        self.in_flight = 0
        self._last_at = time.monotonic()

    @contextmanager
    def request(self, *, counts: bool) -> Iterator[None]:
        """One request. Those of a load balancer's health check do not count."""
        if not counts:
            yield
            return
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            self._last_at = time.monotonic()

    async def drain(self, *, quiet_seconds: float, deadline_seconds: float) -> bool:
        """Announce the end, and return when no request came for a while: the load balancer has stopped sending.

        Returns:
            Whether it became quiet before the deadline.
        """
        self.draining = True
        began = self._last_at = time.monotonic()
        while self.in_flight or time.monotonic() - self._last_at < quiet_seconds:
            if time.monotonic() - began > deadline_seconds:
                return False
            await asyncio.sleep(quiet_seconds / 20)
        return True
