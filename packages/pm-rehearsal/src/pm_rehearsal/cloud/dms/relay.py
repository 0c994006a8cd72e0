"""A TCP relay that delivers what a WAL sender sends a fixed time later: DMS-like lag on one machine."""

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable

_HOST = "127.0.0.1"
_CHUNK_BYTES = 65536
_HELD_BYTES = 64 * 1024 * 1024
_STREAMING = b"START_REPLICATION"


class DelayingRelay:
    """Listens on 127.0.0.1 and passes connections on to a PostgreSQL server, delaying its replication streams.

    Logins and the initial copy pass at once; only what follows START_REPLICATION is held back. At most 64 MiB per
    stream wait here, then the server has to.

    Args:
        host: The server.
        port: Its port.
        delay_seconds: Between the arrival of a byte from the server and its delivery.
    """

    host = _HOST

    def __init__(self, *, host: str, port: int, delay_seconds: float) -> None:
        self._server = (host, port)
        self._delay_seconds = delay_seconds
        self._listener = socket.create_server((_HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False
        _thread(self._accept)

    def close(self) -> None:
        """Stop listening and break every connection."""
        with self._lock:
            self._closed = True
            sockets, self._open = list(self._open), set()
        _break(self._listener)
        for connection in sockets:
            _break(connection)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            try:
                server = socket.create_connection(self._server)
            except OSError:
                client.close()  # the subscriber tries again, as it would with the server itself
                continue
            for connection in (client, server):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                if self._closed:
                    client.close()
                    server.close()
                    return
                self._open |= {client, server}
            streaming = threading.Event()
            _thread(self._forward, client, server, streaming)
            _thread(self._hold_back, server, client, streaming)

    def _forward(self, client: socket.socket, server: socket.socket, streaming: threading.Event) -> None:
        try:
            while chunk := client.recv(_CHUNK_BYTES):
                if _STREAMING in chunk:
                    streaming.set()
                server.sendall(chunk)
        except OSError:
            pass  # one end is gone: the other follows
        finally:
            self._end(client, server)

    def _hold_back(self, server: socket.socket, client: socket.socket, streaming: threading.Event) -> None:
        queue = _Queue()
        _thread(self._deliver, queue, server, client)
        try:
            while chunk := server.recv(_CHUNK_BYTES):
                queue.put(time.monotonic() + (self._delay_seconds if streaming.is_set() else 0.0), chunk)
        except OSError:
            pass  # as above
        finally:
            queue.put(time.monotonic(), b"")

    def _deliver(self, queue: "_Queue", server: socket.socket, client: socket.socket) -> None:
        try:
            while chunk := queue.take():
                client.sendall(chunk)
        except OSError:
            pass  # as above
        finally:
            queue.abandon()
            self._end(client, server)

    def _end(self, *connections: socket.socket) -> None:
        with self._lock:
            self._open -= set(connections)
        for connection in connections:
            _break(connection)


class _Queue:
    """Chunks with the time at which each may leave, in order; bounded in bytes."""

    def __init__(self) -> None:
        self._chunks: deque[tuple[float, bytes]] = deque()
        self._bytes = 0
        self._abandoned = False
        self._changed = threading.Condition()

    def put(self, due: float, chunk: bytes) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._bytes < _HELD_BYTES or self._abandoned)
            self._chunks.append((due, chunk))
            self._bytes += len(chunk)
            self._changed.notify_all()

    def take(self) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: self._chunks)
            due, chunk = self._chunks[0]
        time.sleep(max(0.0, due - time.monotonic()))
        with self._changed:
            self._chunks.popleft()
            self._bytes -= len(chunk)
            self._changed.notify_all()
        return chunk

    def abandon(self) -> None:
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()


def _break(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it may not be connected any more
        connection.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it; close alone would not
    connection.close()


def _thread(function: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=function, args=arguments, name="dms-relay", daemon=True).start()
