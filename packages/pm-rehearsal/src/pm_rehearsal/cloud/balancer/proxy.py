"""Clients' connections and the rules that say what becomes of their requests.

Callbacks on asyncio protocols rather than streams: at 500 requests a second on two shared cores the difference is
most of the balancer's cost.
"""

import asyncio
import fnmatch
import secrets
import time
from collections.abc import Callable
from http import HTTPStatus

from pm_rehearsal.cloud.balancer.configuration import Configuration, FixedResponse, Forward, Listener, Redirect, Rule
from pm_rehearsal.cloud.balancer.exchange import Exchange
from pm_rehearsal.cloud.balancer.messages import HEAD_LIMIT_BYTES, MessageError, RequestHead, parse_request
from pm_rehearsal.cloud.balancer.targets import Group

BODY_LIMIT_BYTES = 16 * 1024 * 1024


class Frontend:
    """One listener at run time, shared by its connections."""

    def __init__(self, listener: Listener, settings: Configuration, groups: dict[str, Group]) -> None:
        self.listener = listener
        self.settings = settings
        self.groups = groups
        self.connections: set[ClientConnection] = set()
        self.answered_itself: dict[int, int] = {}  # by status, since the last report
        self.server: asyncio.Server | None = None

    def sweep(self, now: float) -> None:
        """Close what has been silent for too long."""
        for connection in list(self.connections):
            connection.check_silence(now)


class ClientConnection(asyncio.Protocol):
    """A client's connection: one request at a time, its body held in memory until a target has answered."""

    def __init__(self, frontend: Frontend) -> None:
        self.frontend = frontend
        self.transport: asyncio.Transport | None = None
        self.peer = b""
        self.opened = self.last_active = time.monotonic()
        self._buffer = bytearray()
        self._request: RequestHead | None = None
        self._body = bytearray()
        self._exchange: Exchange | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_server makes
        self.transport = transport
        self.peer = str(transport.get_extra_info("peername")[0]).encode()
        self.frontend.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        del exc
        self.frontend.connections.discard(self)
        if self._exchange is not None:
            self._exchange.abandon()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self.last_active = time.monotonic()
        self._buffer += data
        if self._exchange is None:
            self._read()
        elif len(self._buffer) > HEAD_LIMIT_BYTES and self.transport is not None:
            self.transport.pause_reading()  # a client that sends ahead waits for its answers

    def pause_writing(self) -> None:
        """See asyncio.Protocol: the client reads more slowly than the target sends."""
        if self._exchange is not None:
            self._exchange.pause(paused=True)

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        if self._exchange is not None:
            self._exchange.pause(paused=False)

    def check_silence(self, now: float) -> None:
        """Give up on a silent target with 504, close a silent client's connection."""
        if now - self.last_active < self.frontend.settings.idle_timeout_seconds or self.transport is None:
            return
        if self._exchange is not None:
            self._exchange.give_up()
        else:
            self.transport.close()

    def send(self, data: bytes) -> None:
        """To the client."""
        self.last_active = time.monotonic()
        if self.transport is not None:
            self.transport.write(data)

    def must_close(self) -> bool:
        """Whether the current answer is the connection's last."""
        return (
            self._request is None
            or not self._request.keep_alive
            or self.frontend.server is None
            or time.monotonic() - self.opened > self.frontend.settings.keep_alive_seconds
        )

    def answer(self, status: int, *, headers: tuple[bytes, ...] = (), body: bytes | None = None) -> None:
        """Answer instead of a target."""
        reason = HTTPStatus(status).phrase
        if status >= HTTPStatus.BAD_REQUEST and body is None:
            answered = self.frontend.answered_itself
            answered[status] = answered.get(status, 0) + 1
        if body is None:
            headers = (b"Content-Type: text/html", *headers)
            body = f"<html><head><title>{status} {reason}</title></head><body>{status} {reason}</body></html>".encode()
        close = self.must_close()
        lines = [
            f"HTTP/1.1 {status} {reason}".encode(),
            b"Server: awselb/2.0",
            b"Content-Length: %d" % len(body),
            *headers,
            *((b"Connection: close",) if close else ()),
        ]
        if self._request is not None and self._request.method == b"HEAD":
            body = b""
        self.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        self.finished(close=close)

    def finished(self, *, close: bool) -> None:
        """The answer is complete."""
        self._exchange, self._request = None, None
        if self.transport is None:
            return
        if close:
            self.transport.close()
            return
        self.transport.resume_reading()
        if self._buffer:
            self._read()

    def broken(self) -> None:
        """The answer cannot be completed: the client must see that it was cut."""
        self._exchange = None
        if self.transport is not None:
            self.transport.abort()

    def _read(self) -> None:
        try:
            if self._request is None and not self._read_head():
                return
            request = self._request
            assert request is not None  # noqa: S101 - _read_head made it
            taken = request.body.feed(bytes(self._buffer)) if not request.body.done else 0
        except MessageError:
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        self._body += self._buffer[:taken]
        del self._buffer[:taken]
        if len(self._body) > BODY_LIMIT_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        elif request.body.done:
            body, self._body = bytes(self._body), bytearray()
            self._dispatch(request, body)
        elif request.expects_continue:
            request.expects_continue = False
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _read_head(self) -> bool:
        while self._buffer.startswith(b"\r\n"):  # RFC 9112 2.2: empty lines before a request
            del self._buffer[:2]
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_LIMIT_BYTES:
                raise MessageError("the head is too long")
            return False
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        self._request = parse_request(head, drop_invalid_fields=self.frontend.settings.drop_invalid_fields)
        return True

    def _refuse(self, status: int) -> None:
        self._request = None  # what follows on this connection cannot be told apart: it is closed
        self._buffer.clear()
        self._body.clear()
        self.answer(status)

    def _dispatch(self, request: RequestHead, body: bytes) -> None:
        action = next(rule.action for rule in self.frontend.listener.rules if matches(rule, request))
        if isinstance(action, Forward):
            group = self.frontend.groups.get(action.group)
            if group is None:
                self.answer(HTTPStatus.SERVICE_UNAVAILABLE)
                return
            self._exchange = Exchange(self, request, _outgoing(request, body, self), group)
            self._exchange.start()
        elif isinstance(action, FixedResponse):
            content_type = f"Content-Type: {action.content_type}".encode()
            self.answer(action.status, headers=(content_type,), body=action.body.encode())
        else:
            location = f"Location: {_location(action, request, self.frontend.listener)}".encode()
            self.answer(action.status, headers=(location,), body=b"")


def matches(rule: Rule, request: RequestHead) -> bool:
    """Whether every condition of the rule holds for the request."""
    if rule.paths:
        path = request.target.partition(b"?")[0].decode("latin-1")
        if not any(fnmatch.fnmatchcase(path, pattern) for pattern in rule.paths):
            return False
    if rule.hosts:
        host = request.host.partition(b":")[0].decode("latin-1").lower()
        if not any(fnmatch.fnmatchcase(host, pattern.lower()) for pattern in rule.hosts):
            return False
    return not rule.methods or request.method.decode("latin-1") in rule.methods


def client_factory(frontend: Frontend) -> Callable[[], ClientConnection]:
    """What ``create_server`` calls for each connection."""
    return lambda: ClientConnection(frontend)


def _outgoing(request: RequestHead, body: bytes, client: ClientConnection) -> bytes:
    listener = client.frontend.listener
    forwarded = request.forwarded_for + b", " + client.peer if request.forwarded_for else client.peer
    trace = request.trace or b"Root=1-%08x-%s" % (int(time.time()), secrets.token_hex(12).encode())
    return b"\r\n".join(
        (
            request.method + b" " + request.target + b" HTTP/1.1",
            *request.lines,
            b"X-Forwarded-For: " + forwarded,
            b"X-Forwarded-Proto: " + listener.protocol.lower().encode(),
            b"X-Forwarded-Port: %d" % listener.port,
            b"X-Amzn-Trace-Id: " + trace,
            b"",
            body,
        )
    )


def _location(action: Redirect, request: RequestHead, listener: Listener) -> str:
    path, _, query = request.target.decode("latin-1").partition("?")
    values = {
        "#{protocol}": listener.protocol.lower(),
        "#{host}": request.host.decode("latin-1").partition(":")[0],
        "#{port}": str(listener.port),
        "#{path}": path.lstrip("/"),
        "#{query}": query,
    }
    filled = []
    for part in (action.protocol.lower(), action.host, action.port, action.path, action.query):
        for placeholder, value in values.items():
            part = part.replace(placeholder, value)
        filled.append(part)
    protocol, host, port, location, query = filled
    return f"{protocol}://{host}:{port}{location}" + (f"?{query}" if query else "")
