"""The service of these tests, run as a process: GET /health, and any other request is echoed as JSON.

Environment: PORT, PM_BIND, NAME (told in each answer). ``/break`` makes /health answer 500 from then on, ``/mend`` ends
that, ``/slow?SECONDS`` waits. SIGTERM: ends once nothing is under way.
"""

import asyncio
import json
import os
import signal
from urllib.parse import urlsplit


class Service:
    def __init__(self) -> None:
        self.healthy = os.environ.get("BROKEN") != "1"
        self.stopping = asyncio.Event()
        self.under_way = 0

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.under_way += 1
                lines = head.decode().split("\r\n")
                method, target, _ = lines[0].split(" ")
                fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                status, answer = await self.answer(method, target, fields, body)
                data = json.dumps(answer).encode()
                head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
                writer.write(head.encode() + data)
                await writer.drain()
                self.under_way -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(self, method: str, target: str, fields: dict[str, str], body: bytes) -> tuple[int, object]:
        url = urlsplit(target)
        if url.path == "/health":
            return (200 if self.healthy else 500), {"healthy": self.healthy}
        if url.path in ("/break", "/mend"):
            self.healthy = url.path == "/mend"
        elif url.path == "/slow":
            await asyncio.sleep(float(url.query))
        elif url.path == "/environment":
            return 200, dict(os.environ)
        return 200, {
            "name": os.environ.get("NAME", ""),
            "pid": os.getpid(),
            "method": method,
            "target": target,
            "fields": fields,
            "body": body.decode(),
        }


async def main() -> None:
    service = Service()
    print("serving", os.environ["PORT"], flush=True)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, service.stopping.set)
    await asyncio.sleep(float(os.environ.get("START_SECONDS", "0")))
    if os.environ.get("CRASH") == "1":
        raise SystemExit("crashed as asked")
    server = await asyncio.start_server(
        service.serve_connection, os.environ.get("PM_BIND", "127.0.0.1"), int(os.environ["PORT"])
    )
    await service.stopping.wait()
    server.close()
    while service.under_way:  # noqa: ASYNC110 - a counter is enough for a test service
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(main())
