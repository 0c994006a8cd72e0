"""The pool that a service embeds: each piece of work runs in a transaction on the open writer."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, LiteralString, Self, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from pm_writer.candidates import Candidate, CandidateConnection, Credentials
from pm_writer.follower import Counters, Follower, Probe
from pm_writer.sqlstates import Verdict, judge
from pm_writer.words import WriterView

Result = TypeVar("Result")
Work = Callable[[AsyncConnection[TupleRow]], Awaitable[Result]]

ADMIT = "select pm_control.admit(%s)"
CHECKOUT_SECONDS = 0.25  # how long to queue for a connection before looking again at who the writer is
CONFLICT_ATTEMPTS = 5
START_SECONDS = 10.0
REWARM_SECONDS = 5.0

_SWALLOWED = (
    "the work went on after a database error, so its transaction was rolled back: let database errors pass, "
    "or wrap what may fail in connection.transaction()"
)

logger = logging.getLogger("pm_writer")


class NoWriterError(Exception):
    """No database took the work within its deadline: not acknowledged, safe to repeat with the same idempotency key."""


class SwallowedError(Exception):
    """The work caught a database error and went on; its transaction could only be rolled back. A defect of the work."""


class WriterPool:
    """Connections to every candidate, and the knowledge which of them takes writes.

    Args:
        candidates: In their order: the source first. Names are unique.
        deadline_seconds: How long `run` tries.
        connections: Connections kept open to each candidate, the closed ones too.
        warm: Statements with their parameters that each new connection runs once and rolls back, so that the first
            request after the writer moved does not pay for cold caches (40-100 ms). On a closed candidate the fence
            refuses them, which warms just as well.
        poll_seconds: Pause between two readings of the candidates' fence words while there is no writer.
        watch_seconds: The same while there is one and nobody doubts it.
        on_change: Called with each new writer (None: there is none now); must return at once. What it raises is logged.

    Raises:
        ValueError: There is no candidate, or two have one name.
    """

    def __init__(
        self,
        *,
        candidates: Sequence[Candidate],
        deadline_seconds: float = 8.0,
        connections: int = 12,
        warm: Sequence[tuple[LiteralString, Sequence[Any] | Mapping[str, Any]]] = (),
        poll_seconds: float = 0.005,
        watch_seconds: float = 1.0,
        on_change: Callable[[WriterView | None], None] | None = None,
    ) -> None:
        names = [candidate.name for candidate in candidates]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"candidates are {names}: at least one is needed, each with a name of its own")
        self._deadline_seconds = deadline_seconds
        self._poll_seconds = poll_seconds
        self._warm = tuple(warm)
        self._credentials = {candidate.name: Credentials(candidate.parameters) for candidate in candidates}
        self._pools = {name: self._pool(name, connections) for name in names}
        self._follower = Follower(
            probes=[Probe(candidate, self._credentials[candidate.name]) for candidate in candidates],
            poll_seconds=poll_seconds,
            watch_seconds=watch_seconds,
            on_change=on_change,
        )
        self._running: set[asyncio.Task[Any]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._fenced = 0
        self._reconnects = 0

    @property
    def writer(self) -> WriterView | None:
        """The writer as last read; None while there is none."""
        return self._follower.writer

    @property
    def counters(self) -> Counters:
        """What happened since the pool was opened."""
        return Counters(
            fenced=self._fenced,
            reconnects=self._reconnects,
            refreshes=self._follower.refreshes,
            credential_refreshes=sum(one.refreshes for one in self._credentials.values()),
        )

    async def __aenter__(self) -> Self:
        """Connect to all candidates. Those that are down are tried again later; they do not hinder the start."""
        self._follower.start()
        try:
            for pool in self._pools.values():
                await pool.open()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(START_SECONDS):
                    await self._follower.news()
                    await self._filled()
        except BaseException:
            await self._close()
            raise
        self._keeper = asyncio.create_task(self._keep_warm(), name="pm-writer-keeper")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection. Work still running is given up."""
        await self._close()

    async def _close(self) -> None:
        for task in (*self._running, *filter(None, [self._keeper])):
            task.cancel()
        try:
            await self._follower.stop()
        finally:
            for pool in self._pools.values():
                await pool.close(timeout=1.0)

    async def run(self, work: Work[Result]) -> Result:
        """Run ``work`` in a transaction on the writer and commit it.

        ``work`` gets a connection inside an open transaction that the writer has admitted. It runs again as a whole,
        perhaps on another candidate, when the writer moved, a connection broke or a conflict was found, even when the
        commit's outcome is unknown: **it must be idempotent**, by a key that the database keeps unique. It must not
        commit or roll back itself.

        Everything goes through a pipeline. Work that executes without fetching costs one round trip, commit
        included: return the cursor and fetch from it afterwards.

        Raises:
            NoWriterError: The deadline passed; nothing was acknowledged.
            SwallowedError: ``work`` caught a database error and went on.
            psycopg.Error: The database refused the work itself; it was rolled back.
        """
        task = asyncio.create_task(self._run(work, time.monotonic() + self._deadline_seconds))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            # A connection to a frozen server can take seconds to give up: whoever waits is answered in time, and the
            # attempt ends behind his back.
            done, _ = await asyncio.wait([task], timeout=self._deadline_seconds)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not done:
            task.cancel()
            task.add_done_callback(_forget)
            raise self._no_writer(None)
        return task.result()

    async def _run(self, work: Work[Result], deadline: float) -> Result:
        conflicts = 0
        cause: Exception | None = None
        while time.monotonic() < deadline:
            writer = self.writer
            if writer is None:
                await self._follower.news()
                continue
            try:
                return await self._attempt(writer, work)
            except _MovedError:
                continue
            except PoolTimeout as error:
                cause = error
                self._reconnects += 1
                await self._follower.news()
            except psycopg.Error as error:
                cause = error
                verdict = judge(error)
                if verdict is Verdict.FENCED:
                    self._fenced += 1
                    await self._follower.news()
                elif verdict is Verdict.LOST:
                    self._reconnects += 1
                    await asyncio.sleep(self._poll_seconds)
                    await self._follower.news()
                elif verdict is Verdict.FENCE_REMOVED:
                    await self._follower.news()
                    if self.writer == writer:
                        raise  # the fence is where it was: the work itself names something that does not exist
                elif verdict is Verdict.CONFLICT and conflicts < CONFLICT_ATTEMPTS:
                    conflicts += 1
                else:
                    raise
        raise self._no_writer(cause) from cause

    async def _attempt(self, writer: WriterView, work: Work[Result]) -> Result:
        pool = self._pools[writer.name]
        async with pool.connection(timeout=CHECKOUT_SECONDS) as connection:
            if self.writer != writer:
                raise _MovedError  # while this request queued for a connection
            try:
                async with connection.pipeline():
                    await connection.execute("begin")
                    if writer.epoch is not None:
                        await connection.execute(ADMIT, (writer.epoch,), prepare=True)
                    result = await work(connection)
                    commit = await connection.execute("commit")
            except psycopg.errors.PipelineAborted as error:
                raise SwallowedError(_SWALLOWED) from error
            except (psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.InvalidSqlStatementName):
                # The server became a standby or this session was set to read-only; or psycopg takes a statement for
                # prepared that is not.
                await connection.close()
                raise
            finally:
                await _roll_back(connection)
            if commit.statusmessage != "COMMIT":
                raise SwallowedError(_SWALLOWED)
            return result

    def _no_writer(self, cause: Exception | None) -> NoWriterError:
        last = "" if cause is None else f"; last error: {' '.join(str(cause).split())}"
        state = self._follower.describe()
        return NoWriterError(f"no writer took it within {self._deadline_seconds:g} s ({state}{last})")

    def _pool(self, name: str, connections: int) -> AsyncConnectionPool[CandidateConnection]:
        return AsyncConnectionPool(
            connection_class=CandidateConnection,
            kwargs={"credentials": self._credentials[name]},
            configure=self._prepare_connection,
            min_size=connections,
            max_size=connections,
            # Give up after the second try; whoever asks next makes the pool try again. Its own pace starts at 1 s and
            # doubles, far too slow for a request's deadline.
            reconnect_timeout=CHECKOUT_SECONDS,
            name=name,
            open=False,
        )

    async def _prepare_connection(self, connection: CandidateConnection) -> None:
        # A closed candidate may carry a read-only default for stock drivers; sessions opened then would keep it after
        # the candidate was opened. Ours are held back by the fence, at every statement.
        await connection.execute("set default_transaction_read_only = off")
        await self._warm_up(connection)

    async def _warm_up(self, connection: CandidateConnection) -> None:
        threshold, connection.prepare_threshold = connection.prepare_threshold, None
        # From here on psycopg prepares nothing and counts nothing: of a prepared statement that is refused it would
        # forget the name, and the server would not.
        try:
            for statement, parameters in self._warm:
                await connection.execute("begin")
                try:
                    await connection.execute(statement, parameters)
                except psycopg.Error as error:
                    # Refused by the fence, or before `pm replicate` made the tables: `_keep_warm` comes again.
                    if connection.closed:
                        raise
                    logger.debug("warm-up on a closed candidate: %s", error)
                finally:
                    await _roll_back(connection)
        finally:
            connection.prepare_threshold = threshold

    async def _filled(self) -> None:
        """Return when the pools of all candidates that answer are full."""
        while any(  # noqa: ASYNC110 - the pool's own wait() closes it on a timeout
            pool.get_stats()["pool_available"] < pool.min_size
            for name, pool in self._pools.items()
            if self._follower.reachable(name)
        ):
            await asyncio.sleep(self._poll_seconds)

    async def _keep_warm(self) -> None:
        """Warm the closed candidates' connections again and again, and replace those that are gone.

        Requests do that for the writer's. Installing the fence, for one, makes every backend's caches cold.
        """
        while True:
            await asyncio.sleep(REWARM_SECONDS)
            for name, pool in self._pools.items():
                if self._follower.reachable(name):
                    with contextlib.suppress(psycopg.OperationalError, PoolTimeout):  # comes again
                        await self._warm_pool(name, pool)

    async def _warm_pool(self, name: str, pool: AsyncConnectionPool[CandidateConnection]) -> None:
        async with contextlib.AsyncExitStack() as held:  # holding all of them makes the pool replace missing ones
            for _ in range(pool.min_size):
                if self.writer is None or self.writer.name == name:
                    return  # requests need them now
                connection = await held.enter_async_context(pool.connection(timeout=CHECKOUT_SECONDS))
                await self._warm_up(connection)


class _MovedError(Exception):
    """The writer moved before an attempt began."""


async def _roll_back(connection: CandidateConnection) -> None:
    if connection.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
        with contextlib.suppress(psycopg.OperationalError):  # then the pool finds the connection closed
            await connection.execute("rollback")


def _forget(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()  # retrieved, so that asyncio does not report an attempt whose caller has been answered
