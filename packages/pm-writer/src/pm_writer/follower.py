"""Keeps reading the candidates' fence words and says which one is the writer."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg

from pm_writer.candidates import Candidate, CandidateConnection, Credentials, CredentialsError
from pm_writer.words import UNKNOWN, Reading, State, WriterView, choose

RECONNECT_AFTER_SECONDS = 0.1
READ_SECONDS = 1.0
CONFIRMED_SECONDS = 0.05  # what others get once the known writer has said that it still is
LOST_AFTER_SECONDS = 6.0  # longer than LIVENESS takes to notice a dead peer

# What "select pm_control.word()" ends with where there is no control schema: before `pm replicate`, after `pm finish`.
NO_CONTROL_SCHEMA = (
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedTable,
)

_EXPECTED = (psycopg.Error, CredentialsError, OSError, ValueError)

logger = logging.getLogger("pm_writer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What happened since the pool was opened.

    Attributes:
        fenced: Attempts that a database refused with PF001.
        reconnects: Attempts that ended with a lost connection or found none.
        refreshes: Readings of all candidates' words.
        credential_refreshes: Times that a provider was asked again after a refused login.
    """

    fenced: int
    reconnects: int
    refreshes: int
    credential_refreshes: int


class Probe:
    """Reads one candidate's fence word over a connection of its own, which no request can occupy."""

    def __init__(self, candidate: Candidate, credentials: Credentials) -> None:
        self.name = candidate.name
        self._credentials = credentials
        self._connection: CandidateConnection | None = None
        self._reading: asyncio.Task[Reading] | None = None
        self._failed_at = float("-inf")
        self.last = UNKNOWN
        """What the last reading said that has ended."""

    def start(self) -> "asyncio.Task[Reading]":
        """The reading under way, or a new one."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        return self._reading

    async def close(self) -> None:
        """Give up the reading under way and the connection."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        if self._connection is not None:
            await self._connection.close()

    async def _read(self) -> Reading:
        if time.monotonic() - self._failed_at >= RECONNECT_AFTER_SECONDS:
            self.last = await self._ask()
        return self.last

    async def _ask(self) -> Reading:
        try:
            async with asyncio.timeout(LOST_AFTER_SECONDS):
                if self._connection is None:
                    self._connection = await CandidateConnection.connect(credentials=self._credentials)
                cursor = await self._connection.execute("select pm_control.word()")
                row = await cursor.fetchone()
            return Reading.of_word(int(row[0])) if row else UNKNOWN
        except NO_CONTROL_SCHEMA:
            return Reading(state=State.UNFENCED)
        except Exception as error:
            reason = " ".join(str(error).split()) or repr(error)
            if not isinstance(error, _EXPECTED) and reason != self.last.reason:
                # A defect, of a provider most likely. It must not end the reading of the other candidates.
                logger.exception("candidate %s cannot be read", self.name)
            self._failed_at = time.monotonic()
            connection, self._connection = self._connection, None
            if connection is not None:
                await connection.close()
            return Reading(state=State.UNREACHABLE, reason=reason)


class Follower:
    """One task reads; everybody else asks it for news.

    Args:
        probes: One for each candidate, in the candidates' order.
        poll_seconds: Pause between readings while there is no writer or somebody doubts it.
        watch_seconds: Pause between readings while nobody asks.
        on_change: Called with each new writer (None: there is none).
    """

    def __init__(
        self,
        *,
        probes: Sequence[Probe],
        poll_seconds: float,
        watch_seconds: float,
        on_change: Callable[[WriterView | None], None] | None,
    ) -> None:
        self._probes = probes
        self._poll_seconds = poll_seconds
        self._watch_seconds = watch_seconds
        self._on_change = on_change
        self._asked = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._readings = {probe.name: UNKNOWN for probe in probes}
        self._task: asyncio.Task[None] | None = None
        self.writer: WriterView | None = None
        self.refreshes = 0

    def start(self) -> None:
        """Begin to read."""
        self._task = asyncio.create_task(self._follow(), name="pm-writer-follower")

    async def stop(self) -> None:
        """End reading and close the probes' connections."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        for probe in self._probes:
            await probe.close()

    async def news(self) -> None:
        """Return when a reading has ended that began after this call.

        Raises:
            RuntimeError: The follower was stopped, or ended because of a defect.
        """
        if self._task is None or self._task.done():
            failure = self._task.exception() if self._task and not self._task.cancelled() else None
            raise RuntimeError("the writer is not followed any more") from failure
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._asked.set()
        await future

    def describe(self) -> str:
        """Every candidate's last reading, for people."""
        return "; ".join(f"{name}: {reading}" for name, reading in self._readings.items())

    def reachable(self, name: str) -> bool:
        """Whether the candidate answered the last reading."""
        return self._readings[name].state is not State.UNREACHABLE

    async def _follow(self) -> None:
        waiting: list[asyncio.Future[None]] = []
        try:
            while True:
                self._asked.clear()
                waiting, self._waiting = self._waiting, []
                self._publish(await self._read())
                for future in waiting:
                    if not future.done():
                        future.set_result(None)
                await asyncio.sleep(self._poll_seconds)
                if self.writer is not None:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._asked.wait(), self._watch_seconds)
        finally:
            for future in (*waiting, *self._waiting):
                if not future.done():
                    future.cancel()

    async def _read(self) -> WriterView | None:
        """One reading of all candidates; ends with the first open one that is newer than what was known.

        A candidate that hangs is waited for only while nothing better is known, and only for `READ_SECONDS`; for
        `CONFIRMED_SECONDS` once the known writer is open as before, because at most one of them is.
        """
        self.refreshes += 1
        readings = dict.fromkeys(self._readings, UNKNOWN)
        probes = {probe.start(): probe for probe in self._probes}
        pending = set(probes)
        deadline = time.monotonic() + READ_SECONDS
        choice: WriterView | None = None
        confirmed = False
        while pending and (left := deadline - time.monotonic()) > 0:
            done, pending = await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            readings.update((probes[task].name, task.result()) for task in done)
            choice = choose(list(readings.items()))
            if choice is not None and choice.epoch is not None:
                if self._is_newer(choice):
                    pending = set()  # their readings go on; the next round takes them up
                elif choice == self.writer and not confirmed:
                    confirmed, deadline = True, min(deadline, time.monotonic() + CONFIRMED_SECONDS)
        silent = Reading(state=State.UNREACHABLE, reason=f"no answer within {READ_SECONDS:g} s")
        readings.update((probes[task].name, probes[task].last if confirmed else silent) for task in pending)
        self._note({name: reading for name, reading in readings.items() if reading is not UNKNOWN})
        return choice

    def _is_newer(self, choice: WriterView) -> bool:
        return self.writer is None or (choice.epoch or 0) > (self.writer.epoch or 0)

    def _note(self, readings: dict[str, Reading]) -> None:
        for name, reading in readings.items():
            if reading.state is not self._readings[name].state:
                level = logging.WARNING if reading.state is State.UNREACHABLE else logging.INFO
                logger.log(level, "candidate %s is %s", name, reading)
        self._readings.update(readings)

    def _publish(self, writer: WriterView | None) -> None:
        if writer != self.writer:
            self.writer = writer
            if self._on_change is not None:
                try:
                    self._on_change(writer)
                except Exception:
                    logger.exception("on_change failed; the writer is followed all the same")
