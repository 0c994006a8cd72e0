"""The exchange of one request for one answer with a target."""

import asyncio
import time
from http import HTTPStatus
from typing import Protocol

from pm_rehearsal.cloud.balancer.messages import (
    HEAD_LIMIT_BYTES,
    MessageError,
    RequestHead,
    ResponseHead,
    UnboundedBody,
    parse_response,
)
from pm_rehearsal.cloud.balancer.targets import Group, Member, TargetConnection

CONNECT_SECONDS = 5.0


class Client(Protocol):
    """What an exchange needs of the client's connection."""

    def send(self, data: bytes) -> None:
        """Bytes of the answer."""

    def must_close(self) -> bool:
        """Whether the current answer is to be the connection's last."""

    def answer(self, status: int) -> None:
        """Answer instead of a target; nothing was sent yet."""

    def finished(self, *, close: bool) -> None:
        """The answer is complete."""

    def broken(self) -> None:
        """The answer cannot be completed."""


class Exchange:
    """One request, sent to a target until one answers.

    A request is sent again when nothing can have been done with it (the connection was refused), and once when a kept
    connection ended without a byte of an answer. AWS answers 502 in the second case; here it is counted (``retries``).
    It is right only for requests that may be repeated, as payments with their idempotency key are.
    """

    def __init__(self, client: Client, request: RequestHead, data: bytes, group: Group) -> None:
        self._client = client
        self._request = request
        self._bytes = data
        self._group = group
        self._tried: list[Member] = []
        self._member: Member | None = None
        self._connection: TargetConnection | None = None
        self._answer: ResponseHead | None = None
        self._head = b""  # of the answer, as far as it was received
        self._close = False  # whether the client was told that its connection ends with this answer
        self._retried = False
        self._sent_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Choose a target and send."""
        member = self._group.choose(self._tried)
        if member is None:
            self._client.answer(HTTPStatus.BAD_GATEWAY if self._tried else HTTPStatus.SERVICE_UNAVAILABLE)
            return
        if not self._tried and not self._retried:
            self._group.counters.requests += 1
        self._member = member
        member.begin()
        connection = None if self._retried else member.idle_connection()
        if connection is not None:
            self._send(connection)
        else:
            self._task = asyncio.get_running_loop().create_task(self._connect(member))

    async def _connect(self, member: Member) -> None:
        try:
            connection = await member.connect(CONNECT_SECONDS)
        except OSError:
            self._group.counters.connection_errors += 1
            self._tried.append(member)
            self._release(reuse=False)
            self.start()
        else:
            self._send(connection)

    def _send(self, connection: TargetConnection) -> None:
        self._task = None
        self._connection = connection
        connection.receiver = self
        self._sent_at = time.monotonic()
        assert connection.transport is not None  # noqa: S101 - it is open
        connection.transport.write(self._bytes)

    def received(self, data: bytes) -> None:
        """See Receiver."""
        try:
            if self._answer is None:
                data = self._read_head(data)
                if self._answer is None:
                    return
            if data:
                taken = self._answer.body.feed(data)
                self._client.send(data[:taken] if taken < len(data) else data)
                if taken < len(data):
                    self._answer.keep_alive = False  # bytes beyond the answer
        except MessageError:
            self._fail(HTTPStatus.BAD_GATEWAY)
            return
        if self._answer.body.done:
            self._finish()

    def _read_head(self, data: bytes) -> bytes:
        """Pass the head on once it is complete, with the body bytes that came along."""
        received = self._head + data if self._head else data
        while True:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                if len(received) > HEAD_LIMIT_BYTES:
                    raise MessageError("the head is too long")
                self._head = received
                return b""
            answer = parse_response(received[:end], self._request.method)
            received = received[end + 4 :]
            if answer.status >= HTTPStatus.OK:  # interim answers (1xx) are not passed on
                break
        self._answer, self._head = answer, b""
        self._group.counters.answered(answer.status, time.monotonic() - self._sent_at)
        self._close = self._client.must_close() or isinstance(answer.body, UnboundedBody)
        if self._close:
            answer.lines.append(b"Connection: close")
        head = b"\r\n".join(answer.lines) + b"\r\n\r\n"
        taken = answer.body.feed(received) if received else 0
        self._client.send(head + received[:taken])
        return received[taken:]

    def lost(self) -> None:
        """See Receiver."""
        connection, self._connection = self._connection, None
        if self._answer is not None:
            if isinstance(self._answer.body, UnboundedBody):
                self._finish()
            else:
                self._release(reuse=False)
                self._client.broken()
        elif connection is not None and connection.used and not self._head and not self._retried:
            self._retried = True
            self._group.counters.retries += 1
            self._release(reuse=False)
            self.start()
        else:
            self._release(reuse=False)
            self._client.answer(HTTPStatus.BAD_GATEWAY)

    def give_up(self) -> None:
        """The target was silent for too long."""
        self._fail(HTTPStatus.GATEWAY_TIMEOUT)

    def abandon(self) -> None:
        """The client is gone."""
        if self._task is not None:
            self._task.cancel()
        self._release(reuse=False)

    def pause(self, *, paused: bool) -> None:
        """Stop or go on reading from the target."""
        transport = self._connection.transport if self._connection is not None else None
        if transport is not None and paused:
            transport.pause_reading()
        elif transport is not None:
            transport.resume_reading()

    def _fail(self, status: HTTPStatus) -> None:
        if self._task is not None:
            self._task.cancel()
        self._release(reuse=False)
        if self._answer is None:
            self._client.answer(status)
        else:
            self._client.broken()

    def _finish(self) -> None:
        assert self._answer is not None  # noqa: S101 - it is complete
        self._release(reuse=self._answer.keep_alive)
        self._client.finished(close=self._close)

    def _release(self, *, reuse: bool) -> None:
        """Give target and connection back; does nothing the second time."""
        member, self._member = self._member, None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.receiver = None
            connection.used = True
            if not reuse:
                connection.close()
        if member is not None:
            member.end(connection if reuse else None)
