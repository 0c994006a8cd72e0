"""Targets as the proxy sees them: their health, requests under way, and connections kept open to them."""

import asyncio
import enum
import time
from collections.abc import Callable, Collection
from typing import Protocol

from pm_rehearsal.cloud.balancer.configuration import Target, TargetGroup
from pm_rehearsal.cloud.balancer.counters import Counters
from pm_rehearsal.cloud.balancer.tls import target_context

IDLE_CONNECTIONS = 64


class State(enum.Enum):
    """A target's health; the values are DescribeTargetHealth's."""

    INITIAL = "initial"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"


class Receiver(Protocol):
    """What a connection hands its bytes to while a request is under way on it."""

    def received(self, data: bytes) -> None:
        """Bytes of the target's answer."""

    def lost(self) -> None:
        """The target closed the connection, or it broke."""


class TargetConnection(asyncio.Protocol):
    """One connection to a target; kept open between requests."""

    def __init__(self, member: "Member") -> None:
        self.member = member
        self.receiver: Receiver | None = None
        self.transport: asyncio.Transport | None = None
        self.used = False
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_connection makes
        self.transport = transport
        self.member.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self.receiver is None:
            self.close()  # bytes that nobody asked for: whose answer they are cannot be known
        else:
            self.receiver.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        del exc
        self.member.forget(self)
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.lost()

    def close(self) -> None:
        """Close at once; the receiver hears nothing more."""
        self.receiver = None
        self.member.forget(self)
        if self.transport is not None:
            self.transport.abort()


class Member:
    """A target in one group."""

    def __init__(
        self, target: Target, state: State, on_drained: Callable[["Member"], None], *, tls: bool = False
    ) -> None:
        self.target = target
        self.state = state
        self.under_way = 0
        self.idle: list[TargetConnection] = []
        self.connections: set[TargetConnection] = set()
        self._on_drained = on_drained
        self._tls = tls

    def drain(self) -> None:
        """No new request from now on; reports when none is under way."""
        if self.state is State.DRAINING:
            return
        self.state = State.DRAINING
        for connection in list(self.idle):
            connection.close()
        self._report_drained()

    def cut(self) -> None:
        """Break every connection; requests under way on them fail."""
        for connection in list(self.connections):
            if connection.transport is not None:
                connection.transport.abort()

    def idle_connection(self) -> TargetConnection | None:
        """A kept connection that is still open."""
        while self.idle:
            connection = self.idle.pop()
            if connection.transport is not None and not connection.transport.is_closing():
                return connection
        return None

    async def connect(self, timeout_seconds: float) -> TargetConnection:
        """A new connection.

        Raises:
            OSError: The target refused it, or did not answer in time.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout_seconds):
            _, connection = await loop.create_connection(
                lambda: TargetConnection(self),
                self.target.host,
                self.target.port,
                ssl=target_context() if self._tls else None,
            )
        return connection

    def begin(self) -> None:
        """A request is sent to this target."""
        self.under_way += 1

    def end(self, connection: TargetConnection | None) -> None:
        """The request is over; ``connection`` may be used again."""
        self.under_way -= 1
        if connection is not None:
            if self.state is State.DRAINING or len(self.idle) >= IDLE_CONNECTIONS:
                connection.close()
            else:
                connection.idle_since = time.monotonic()
                self.idle.append(connection)
        if self.state is State.DRAINING:
            self._report_drained()

    def sweep(self, before: float) -> None:
        """Close the connections that were not used since: a target must not be the first to close one."""
        for connection in [connection for connection in self.idle if connection.idle_since < before]:
            connection.close()

    def forget(self, connection: TargetConnection) -> None:
        """The connection is gone."""
        self.connections.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)

    def _report_drained(self) -> None:
        if self.under_way == 0:
            self._on_drained(self)


class Group:
    """A target group at run time."""

    def __init__(self, arn: str, on_drained: Callable[["Group", Member], None]) -> None:
        self.arn = arn
        self.settings = TargetGroup(arn=arn)
        self.members: dict[str, Member] = {}
        self.counters = Counters()
        self._on_drained = on_drained
        self._turn = 0

    def configure(self, settings: TargetGroup) -> None:
        """Take over new settings: new targets start as initial, missing ones are cut off."""
        self.settings = settings
        wanted = {target.key: target for target in settings.targets}
        for key in set(self.members) - set(wanted):
            self.members.pop(key).cut()
        for key, target in wanted.items():
            member = self.members.get(key)
            if member is None:
                state = State.INITIAL if settings.health_check.enabled else State.HEALTHY
                member = self.members[key] = Member(
                    target, state, lambda member: self._on_drained(self, member), tls=settings.tls
                )
            if target.draining:
                member.drain()
            elif member.state is State.DRAINING:  # registered again before it was gone
                member.state = State.INITIAL

    def choose(self, tried: Collection[Member]) -> Member | None:
        """A target for a request that was not ``tried`` yet.

        As on AWS, a group whose targets are all unhealthy sends to all of them; targets that wait for their first
        check, or that drain, get nothing.
        """
        usable = [member for member in self.members.values() if member.state is State.HEALTHY]
        if not usable:
            usable = [member for member in self.members.values() if member.state is State.UNHEALTHY]
        usable = [member for member in usable if member not in tried] if tried else usable
        if not usable:
            return None
        self._turn += 1
        if self.settings.algorithm == "least_outstanding_requests":
            least = min(member.under_way for member in usable)
            usable = [member for member in usable if member.under_way == least]
        return usable[self._turn % len(usable)]
