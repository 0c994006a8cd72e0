"""The server process: listens on 127.0.0.1, says when it is ready, and leaves nothing behind.

It ends when its standard input ends (its parent is gone), on SIGTERM and on SIGINT.
"""

import argparse
import asyncio
import json
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from pm_rehearsal.cloud import subsystems
from pm_rehearsal.cloud.extension import Extension
from pm_rehearsal.cloud.seams import SeamError
from pm_rehearsal.cloud.settings import ACCOUNT, DEFAULT_REGION, HOST, OccupiedPortError

GRACE_SECONDS = 3.0
STOP_SECONDS = 15.0
FAILED = 1
OCCUPIED = 2

log = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> NoReturn:
    """Serve until told to stop, then end the process: 0 after a normal end, 2 when a port is occupied, 1 otherwise."""
    options = _parse(arguments)
    directory = Path(tempfile.mkdtemp(prefix="pm-cloud-", dir=options.directory))
    directory.chmod(0o711)  # the user that PostgreSQL runs as reaches its own directory below
    code, message = 0, ""
    try:
        with _listen(options.port) as listener:
            _prepare(listener.getsockname()[1], directory)
            # Not asyncio.run, which would first wait for every deployment and Lambda that is still under way.
            asyncio.new_event_loop().run_until_complete(_serve(listener, directory, options.dns_port))
    except OccupiedPortError as error:
        code, message = OCCUPIED, str(error)
    except SeamError as error:
        code, message = FAILED, str(error)
    except Exception as error:  # reported here because this process ends below, without unwinding
        log.exception("the embedded AWS failed")
        code, message = FAILED, f"the embedded AWS failed: {type(error).__name__}: {error}"
    if message:
        print(message, file=sys.stderr, flush=True)
    logging.shutdown()
    shutil.rmtree(directory, ignore_errors=True)
    # Not sys.exit, which waits for threads: a Lambda or a deployment may still be in the middle of something long.
    os._exit(code)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pm_rehearsal.cloud", description=__doc__)
    parser.add_argument("--port", type=int, default=4566, help="AWS endpoint; 0 takes a free port (default: 4566)")
    parser.add_argument("--dns-port", type=int, default=0, help="Route 53 over UDP; 0 takes a free port (default)")
    parser.add_argument("--directory", type=Path, help="where the state lives (default: the temporary directory)")
    return parser.parse_args(arguments)


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(1024)  # from here on requests queue; they are answered once everything is installed
    except OSError as error:
        listener.close()
        raise OccupiedPortError(port=port, option="--port", reason=error.strerror or str(error)) from error
    return listener


def _prepare(port: int, directory: Path) -> None:
    """Set what MiniStack reads when it is imported, and keep the user's own AWS settings out of this process."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "MINISTACK_", "LOCALSTACK_"))]:
        del os.environ[name]
    temporary = directory / "tmp"
    temporary.mkdir(mode=0o711)
    tempfile.tempdir = None
    os.environ |= {
        "TMPDIR": str(temporary),
        "STATE_DIR": str(directory / "state"),
        "S3_DATA_DIR": str(directory / "s3"),
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": HOST,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": DEFAULT_REGION,
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "PERSIST_STATE": "0",
        "LOG_LEVEL": "WARNING",
        "DOCKER_HOST": f"unix://{directory}/no-docker.sock",  # a Docker of the user's is none of our business
        "AWS_ENDPOINT_URL": f"http://{HOST}:{port}",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY"), HOST))),
    }
    logging.basicConfig(
        filename=directory / "server.log",
        level=logging.WARNING,
        format="%(asctime)s %(levelname)s [%(name)s] %(message)s",
    )
    logging.getLogger("pm_rehearsal").setLevel(logging.INFO)


async def _serve(listener: socket.socket, directory: Path, dns_port: int) -> None:
    extension = Extension(port=listener.getsockname()[1], directory=directory, dns_port=dns_port)
    extension.loop = loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    try:
        subsystems.install(extension)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        threading.Thread(target=_watch_parent, args=(loop, stop), name="parent", daemon=True).start()
        await _listen_and_answer(extension, listener, stop)
    finally:
        # Should a stop hook hang: the kernel ends every child when this process ends.
        threading.Timer(STOP_SECONDS, _give_up, (directory,)).start()
        extension.stop()


async def _listen_and_answer(extension: Extension, listener: socket.socket, stop: asyncio.Event) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{listener.detach()}"]  # hypercorn closes it
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    config.keep_alive_timeout = 75
    config.graceful_timeout = GRACE_SECONDS
    application = extension.module("app").app

    async def announcing(scope: Any, receive: Any, send: Any) -> None:
        async def announce(message: Any) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                ready = {"endpoint": extension.endpoint, **extension.announcements, "pid": os.getpid()}
                print(json.dumps(ready), flush=True)

        await application(scope, receive, announce if scope["type"] == "lifespan" else send)

    serving = asyncio.ensure_future(serve(announcing, config, shutdown_trigger=stop.wait))
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait((serving,), timeout=2 * GRACE_SECONDS)
    stopping.cancel()
    if serving.done():
        serving.result()


def _give_up(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    os._exit(FAILED)


def _watch_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    try:
        while os.read(0, 4096):
            pass
    except OSError as error:  # there is no standard input
        log.info("standard input: %s", error)
    log.info("standard input ended: shutting down")
    loop.call_soon_threadsafe(stop.set)
