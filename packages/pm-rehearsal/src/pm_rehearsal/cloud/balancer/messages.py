"""HTTP/1.1 messages, parsed no further than a proxy needs: the head's few deciding fields and where the body ends.

Source: RFC 9112. What could be read in two ways (two lengths, a folded header, a length and chunks) is refused: a proxy
and a target that disagree about where a message ends are an attack.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

HEAD_LIMIT_BYTES = 64 * 1024
_NAME_BYTES = b"abcdefghijklmnopqrstuvwxyz0123456789-"
_HOP_BY_HOP = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"te", b"expect"))


class MessageError(ValueError):
    """Bytes that are no HTTP/1.1 message we may pass on."""


class Body(Protocol):
    """Finds the end of a body."""

    done: bool

    def feed(self, data: bytes) -> int:
        """How many of the next bytes belong to the body; ``done`` turns true with its last one."""


class SizedBody:
    """A body of a known length, perhaps none."""

    __slots__ = ("done", "remaining")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.done = length == 0

    def feed(self, data: bytes) -> int:
        """See Body."""
        taken = min(len(data), self.remaining)
        self.remaining -= taken
        self.done = self.remaining == 0
        return taken


class UnboundedBody:
    """A response body that ends when the target closes the connection."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = False

    def feed(self, data: bytes) -> int:
        """See Body."""
        return len(data)


class ChunkedBody:
    """A chunked body with its trailer; the bytes are passed on as they came."""

    __slots__ = ("_in_trailer", "_line", "_skip", "done")

    def __init__(self) -> None:
        self.done = False
        self._line = bytearray()  # of a size or a trailer field, as far as it was received
        self._skip = 0  # of the current chunk's data and its line end
        self._in_trailer = False

    def feed(self, data: bytes) -> int:
        """See Body.

        Raises:
            MessageError: A chunk's size is not hexadecimal.
        """
        position = 0
        while position < len(data) and not self.done:
            if self._skip:
                taken = min(self._skip, len(data) - position)
                self._skip -= taken
                position += taken
                continue
            end = data.find(b"\n", position)
            if end < 0:
                self._line += data[position:]
                if len(self._line) > HEAD_LIMIT_BYTES:
                    raise MessageError("a chunk's size line is too long")
                return len(data)
            self._line += data[position : end + 1]
            position = end + 1
            self._end_of_line(bytes(self._line).strip())
            self._line.clear()
        return position

    def _end_of_line(self, line: bytes) -> None:
        if self._in_trailer:
            self.done = not line
            return
        digits = line.partition(b";")[0].strip()
        if not digits or digits.strip(b"0123456789abcdefABCDEF"):
            raise MessageError("a chunk's size is not hexadecimal")
        size = int(digits, 16)
        self._skip = size + 2 if size else 0
        self._in_trailer = size == 0


@dataclass(slots=True)
class RequestHead:
    """A client's request, as far as the proxy looks at it.

    Attributes:
        lines: Header lines to pass on; hop-by-hop ones and those that the proxy writes itself are left out.
        forwarded_for: What the client claimed in X-Forwarded-For; empty when nothing.
    """

    method: bytes
    target: bytes
    lines: list[bytes]
    host: bytes
    body: Body
    keep_alive: bool
    expects_continue: bool
    forwarded_for: bytes
    trace: bytes


@dataclass(slots=True)
class ResponseHead:
    """A target's response head, ready to be passed on."""

    status: int
    lines: list[bytes]
    body: Body
    keep_alive: bool


def parse_request(head: bytes, *, drop_invalid_fields: bool = False) -> RequestHead:
    """Parse a request's head, without the empty line that ends it; see ``Configuration.drop_invalid_fields``.

    Raises:
        MessageError: It is no HTTP/1.0 or 1.1 request, or its length can be read in two ways.
    """
    lines = head.split(b"\r\n")
    parts = lines[0].split(b" ")
    if len(parts) != 3 or parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise MessageError("the request line is not `METHOD target HTTP/1.1`")
    request = RequestHead(
        method=parts[0],
        target=parts[1],
        lines=[],
        host=b"",
        body=SizedBody(0),
        keep_alive=parts[2] == b"HTTP/1.1",
        expects_continue=False,
        forwarded_for=b"",
        trace=b"",
    )
    length: bytes | None = None
    chunked = False
    for line in lines[1:]:
        name, value = _field(line)
        if name == b"host":
            request.host = value
        elif name == b"content-length":
            length = _length(length, value)
        elif name == b"transfer-encoding":
            chunked = _chunked(value)
        elif name == b"connection":
            request.keep_alive = request.keep_alive and b"close" not in value.lower()
        elif name == b"expect":
            request.expects_continue = value.lower() == b"100-continue"
        elif name == b"x-forwarded-for":
            request.forwarded_for = value
            continue
        elif name in (b"x-forwarded-proto", b"x-forwarded-port"):
            continue
        elif name == b"x-amzn-trace-id":
            request.trace = value
            continue
        if name not in _HOP_BY_HOP and not (drop_invalid_fields and name.strip(_NAME_BYTES)):
            request.lines.append(line)
    if chunked and length is not None:
        raise MessageError("a request has a Content-Length and is chunked")
    request.body = ChunkedBody() if chunked else SizedBody(int(length or 0))
    return request


def parse_response(head: bytes, method: bytes) -> ResponseHead:
    """Parse a response's head, without the empty line that ends it; ``method`` is the request's.

    Raises:
        MessageError: It is no HTTP/1.1 response, or its length can be read in two ways.
    """
    lines = head.split(b"\r\n")
    version, _, rest = lines[0].partition(b" ")
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or not rest[:3].isdigit():
        raise MessageError("the status line is not `HTTP/1.1 status reason`")
    response = ResponseHead(
        status=int(rest[:3]), lines=[b"HTTP/1.1 " + rest], body=SizedBody(0), keep_alive=version == b"HTTP/1.1"
    )
    length: bytes | None = None
    chunked = False
    for line in lines[1:]:
        name, value = _field(line)
        if name == b"content-length":
            length = _length(length, value)
        elif name == b"transfer-encoding":
            chunked = _chunked(value)
        elif name == b"connection":
            response.keep_alive = response.keep_alive and b"close" not in value.lower()
        if name not in _HOP_BY_HOP:
            response.lines.append(line)
    if method == b"HEAD" or response.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        return response
    if chunked:
        response.body = ChunkedBody()
    elif length is not None:
        response.body = SizedBody(int(length))
    else:
        response.body = UnboundedBody()
        response.keep_alive = False
    return response


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not name or name != name.strip():
        raise MessageError("a header line is not `Name: value`")
    return name.lower(), value.strip()


def _length(before: bytes | None, value: bytes) -> bytes:
    if not value.isdigit() or before not in (None, value):
        raise MessageError("Content-Length is not one number")
    return value


def _chunked(value: bytes) -> bool:
    if value.lower() != b"chunked":
        raise MessageError("Transfer-Encoding other than chunked")
    return True
