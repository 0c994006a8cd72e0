"""The process: settings in, a server out, and an orderly end on SIGTERM."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import structlog
from aiohttp import web

from pm_payments.activity import Activity
from pm_payments.ledger import WARM
from pm_payments.logs import configure_logs
from pm_payments.secrets import SecretsManager
from pm_payments.settings import Settings, SettingsError
from pm_payments.tls import self_signed_context
from pm_payments.web import Payments
from pm_writer import Candidate, WriterPool, WriterView

# Longer than the load balancer keeps an idle connection (30 s): it must be the one that closes, or a request of its
# own meets a closed connection (502).
KEEP_ALIVE_SECONDS = 75.0
DEADLINE_SECONDS = 8.0
# Together below the 30 s after which ECS kills.
# A task that is stopped by hand gets SIGTERM while it is being deregistered: the load balancer sends on for seconds.
QUIET_SECONDS = 5.0
DRAIN_SECONDS = 15.0
CLOSE_SECONDS = 9.0

logger = structlog.get_logger()


async def serve(settings: Settings, candidates: Sequence[Candidate], *, stop: asyncio.Event | None = None) -> None:
    """Serve until SIGTERM, SIGINT or ``stop``; then drain and return.

    While it drains it answers everything, with ``Connection: close`` and an unhealthy ``/health``, until no request
    came for `QUIET_SECONDS`; a listener that closed at once would fail what the load balancer still sends.

    Raises:
        OSError: The address is taken or not ours.
    """
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    activity = Activity()
    pool = WriterPool(candidates=candidates, deadline_seconds=DEADLINE_SECONDS, warm=WARM, on_change=_log_writer)
    async with pool:
        application = Payments(environment=settings.environment, pool=pool, activity=activity).application()
        runner = web.AppRunner(
            application, access_log=None, keepalive_timeout=KEEP_ALIVE_SECONDS, shutdown_timeout=CLOSE_SECONDS
        )
        await runner.setup()
        try:
            tls = self_signed_context(f"payments-{settings.environment}") if settings.tls else None
            site = web.TCPSite(runner, settings.bind, settings.port, backlog=1024, ssl_context=tls)
            await site.start()
            logger.info("serving", environment=settings.environment, bind=settings.bind, port=settings.port)
            await stop.wait()
            logger.info("draining", in_flight=activity.in_flight)
            quiet = await activity.drain(quiet_seconds=QUIET_SECONDS, deadline_seconds=DRAIN_SECONDS)
            if not quiet:
                logger.warning("requests kept coming while draining", in_flight=activity.in_flight)
        finally:
            await runner.cleanup()
    logger.info("stopped", **_counted(pool))


def secret_candidates(settings: Settings) -> list[Candidate]:
    """The candidates of ``PM_CANDIDATES``, which log in with what their secrets hold at that moment."""
    secrets = SecretsManager(ssl_mode=settings.ssl_mode)

    async def parameters(arn: str, *, refresh: bool = False) -> Mapping[str, Any]:
        if refresh:
            logger.info("reading a secret again after a refused login", secret=arn)
        return await secrets.parameters(arn)

    return [Candidate(name=name, parameters=partial(parameters, arn)) for name, arn in settings.candidates]


def main() -> int:
    """Run the service; the exit code is 0 after an orderly end, 2 when the environment variables are wrong."""
    configure_logs()
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        logger.error("wrong settings", error=str(error))  # noqa: TRY400 - the message says it all
        return 2
    try:
        asyncio.run(serve(settings, secret_candidates(settings)))
    except OSError as error:
        logger.error("cannot serve", bind=settings.bind, port=settings.port, error=str(error))  # noqa: TRY400 - as above
        return 1
    return 0


def _log_writer(writer: WriterView | None) -> None:
    if writer is None:
        logger.warning("no writer")
    else:
        logger.info("writer", name=writer.name, epoch=writer.epoch)


def _counted(pool: WriterPool) -> dict[str, int]:
    counters = pool.counters
    return {
        "fenced": counters.fenced,
        "reconnects": counters.reconnects,
        "credential_refreshes": counters.credential_refreshes,
    }
