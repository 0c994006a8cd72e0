"""``python -m pm_rehearsal.load``: the load in a process of its own, so that nothing else delays its clock."""

import asyncio
import gc
import json
import random
import sys

from pm_rehearsal.load.book import BookWriter
from pm_rehearsal.load.clients import Clients
from pm_rehearsal.load.generator import Generator
from pm_rehearsal.load.messages import Config
from pm_rehearsal.resolver import ResolveError, Resolver

STATUS_SECONDS = 0.5


async def _main() -> int:
    commands = asyncio.StreamReader(limit=1 << 24)  # the first line names every account
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    try:
        config = Config.from_json((await commands.readline()).decode())
    except ValueError as error:
        print(f"load: {error}", file=sys.stderr)
        return 2
    clients = Clients(
        resolver=Resolver(f"{config.dns_host}:{config.dns_port}"),
        name=config.record_name,
        count=config.clients,
        choices=random.Random(config.seed),  # noqa: S311 - repeatable on purpose, guards nothing
    )
    try:
        await clients.resolve()
    except ResolveError as error:
        print(f"load: {error}", file=sys.stderr)
        return 1
    with BookWriter(config.book) as book:
        return await _run(Generator(config=config, clients=clients, book=book), commands)


async def _run(generator: Generator, commands: asyncio.StreamReader) -> int:
    """Send the load, obey, report; 0 after a stop, 1 when whoever started it is gone or says what is not known."""
    gc.collect()
    gc.freeze()  # a full collection later on would look like latency of the service
    sending = asyncio.create_task(generator.run())
    obeying = asyncio.create_task(_obey(generator, commands))
    reporting = asyncio.create_task(_report(generator))
    try:
        await asyncio.wait({sending, obeying, reporting}, return_when=asyncio.FIRST_COMPLETED)
        if obeying.done() and not obeying.result():
            return 1
        await sending
    finally:
        for task in (sending, obeying, reporting):
            task.cancel()
    print(generator.snapshot(stopped=True).to_json(), flush=True)
    return 0


async def _report(generator: Generator) -> None:
    while True:
        await asyncio.sleep(STATUS_SECONDS)
        print(generator.snapshot().to_json(), flush=True)


async def _obey(generator: Generator, commands: asyncio.StreamReader) -> bool:
    """Carry out commands until the last one: True after ``stop``, False at the end of file or on nonsense."""
    while line := await commands.readline():
        try:
            command = json.loads(line)["command"]
        except (ValueError, KeyError, TypeError):
            command = line.decode(errors="replace").strip()
        if command == "snapshot":
            print(generator.snapshot().to_json(), flush=True)
        elif command == "stop":
            generator.stop()
            return True
        else:
            print(f"load: unknown command {command!r}: snapshot and stop are known", file=sys.stderr)
            return False
    return False


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
