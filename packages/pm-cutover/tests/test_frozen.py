"""A server that freezes once it has let us in: every read of it ends, and names it."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, TypeVar, cast

import psycopg
import pytest
from cutover_rig import Rig, running_rig

from pm_cutover.comparison import TableComparer, comparison_session, describe_table
from pm_cutover.control import SOURCE_WORD, TARGET_WORD, install
from pm_cutover.database import Database, Environment, cut_after
from pm_cutover.errors import RefusedError
from pm_cutover.evidence import EvidenceLog
from pm_cutover.phases import replicate
from pm_cutover.phases.run import Run
from pm_cutover.phases.status import status
from pm_cutover.progress import ConsoleProgress
from pm_postgres import PostgresServer

T = TypeVar("T")
TABLE = "public.accounts"
LATE_SECONDS = 25.0  # by then everything has ended, or never ends


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Rig, dict[Environment, PostgresServer]]]:
    with running_rig() as (rig, servers):
        install(rig.source, tables=[TABLE], word=SOURCE_WORD)
        install(rig.target, tables=[TABLE], word=TARGET_WORD)
        yield rig, servers


@pytest.fixture
def rig(servers: tuple[Rig, dict[Environment, PostgresServer]]) -> Rig:
    return servers[0]


class Freezer:
    """Stops processes of the servers until they are let go on for good."""

    def __init__(self) -> None:
        self._stopped: list[int] = []
        self._over = False

    def stop(self, pid: int) -> None:
        if not self._over:
            os.kill(pid, signal.SIGSTOP)
            self._stopped.append(pid)

    def thaw(self) -> None:
        self._over = True
        while self._stopped:
            os.kill(self._stopped.pop(), signal.SIGCONT)


@pytest.fixture
def freezer() -> Iterator[Freezer]:
    made = Freezer()
    yield made
    made.thaw()


@pytest.fixture
def frozen_source(freezer: Freezer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source lets everybody in, and never answers after that."""
    connect = Database.connect

    def frozen(self: Database, **options: Any) -> psycopg.Connection[Any]:
        connection = connect(self, **options)
        if self.name == "source":
            freezer.stop(connection.info.backend_pid)
        return connection

    monkeypatch.setattr(Database, "connect", frozen)


@dataclass
class Deployment:
    """Two databases; the rest of AWS is not there."""

    rig: Rig
    suffix: str = "t"
    aws: Any = field(default_factory=lambda: SimpleNamespace(region="us-east-1"))

    def database(self, name: Environment) -> Database:
        return self.rig.database(name)

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        def away(*_: object) -> NoReturn:
            raise RefusedError(f"no {name} here")

        return away


@pytest.fixture
def run(rig: Rig, tmp_path: Path) -> Run:
    return Run(
        deployment=cast(Any, Deployment(rig)),
        progress=ConsoleProgress(),
        evidence=EvidenceLog(path=tmp_path / "e.jsonl", verb="status", suffix="t"),
    )


def in_time(freezer: Freezer, work: Callable[[], T]) -> T:
    """What the work comes to; fails, and lets the servers go on, when it does not end."""
    late = threading.Timer(LATE_SECONDS, freezer.thaw)
    late.start()
    started = time.monotonic()
    try:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(work).result()
    finally:
        late.cancel()
        assert time.monotonic() - started < LATE_SECONDS, "ended only when the server went on"


@pytest.mark.usefixtures("frozen_source")
def test_status_shows_the_side_that_does_not_answer(run: Run, rig: Rig, freezer: Freezer) -> None:
    found: Any = in_time(freezer, lambda: status(run))
    assert found["writer"]["source"] == {"error": f"no answer from 127.0.0.1:{rig.source_port} within 5 s"}
    assert found["writer"]["target"]["state"] == "sealed"
    assert found["writer"]["open"] is None
    assert f"127.0.0.1:{rig.source_port}" in found["slots"]["source"]["error"]
    assert [slot["name"] for slot in found["slots"]["target"]] == []


def test_status_shows_the_side_that_lets_nobody_in(
    run: Run, servers: tuple[Rig, dict[Environment, PostgresServer]], freezer: Freezer
) -> None:
    process = servers[1]["source"].process
    assert process is not None
    freezer.stop(process.pid)  # its kernel still accepts
    started = time.monotonic()
    found: Any = in_time(freezer, lambda: status(run))
    assert time.monotonic() - started < 14  # asked for its fence and for its slots, 5 s each
    assert "cannot connect to source" in found["writer"]["source"]["error"]
    assert found["writer"]["target"]["state"] == "sealed"


@pytest.mark.usefixtures("frozen_source")
@pytest.mark.parametrize("ask", [replicate._estimated_rows, replicate._all_empty])
def test_replicate_gives_a_frozen_server_up(
    rig: Rig, freezer: Freezer, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Database, list[str]], object]
) -> None:
    monkeypatch.setattr(replicate, "CHECK_SECONDS", 1.0)
    with pytest.raises(psycopg.OperationalError, match=rf"no answer from 127\.0\.0\.1:{rig.source_port} within 1 s"):
        in_time(freezer, lambda: ask(rig.source, [TABLE]))


@pytest.mark.usefixtures("frozen_source")
def test_verify_gives_up_a_server_that_freezes_at_its_beginning(
    rig: Rig, freezer: Freezer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pm_cutover.comparison.table.DESCRIBE_SECONDS", 1.0)
    with pytest.raises(psycopg.OperationalError, match="no answer from"):
        in_time(freezer, lambda: comparison_session(rig.source))


@pytest.mark.parametrize("when", ["describe", "compare"])
def test_verify_gives_up_a_server_that_freezes_later(
    rig: Rig, freezer: Freezer, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr("pm_cutover.comparison.table.DESCRIBE_SECONDS", 1.0)
    monkeypatch.setattr("pm_cutover.comparison.rows.ANSWER_SECONDS", 1.0)
    with comparison_session(rig.source) as source, comparison_session(rig.target) as target:
        table = describe_table(source, target, TABLE)
        freezer.stop(target.info.backend_pid)
        comparer = TableComparer(writer=source, follower=target, settle=lambda: None)
        ask = {"describe": lambda: describe_table(source, target, TABLE), "compare": lambda: comparer.compare(table)}
        with pytest.raises(psycopg.OperationalError, match="no answer from"):
            in_time(freezer, ask[when])


def test_a_statement_that_fails_by_itself_keeps_its_reason(rig: Rig) -> None:
    with rig.source.connect() as connection, cut_after(10, connection):
        with pytest.raises(psycopg.OperationalError, match="terminating connection"):
            connection.execute("select pg_terminate_backend(pg_backend_pid())")
