"""What every verb works with."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from pm_cutover.control import SOURCE_WORD, FenceState, read_state
from pm_cutover.database import Database, DatabaseUnreachableError, Environment, cut_after
from pm_cutover.environment import Deployment
from pm_cutover.errors import RefusedError
from pm_cutover.evidence import EvidenceLog
from pm_cutover.progress import Progress
from pm_cutover.steps.locks import EngineBusyError, engine_name, in_order

# Held by every verb that changes something, for its whole length. The engine's lock (7740) is taken inside it, for the
# moments in which the control schema or the writer changes.
COMMAND_LOCK = 7743
_ANSWER_SECONDS = 10.0

_HOLDER = """
select s.application_name, s.pid, coalesce(host(s.client_addr), 'local'),
       to_char(s.backend_start at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS')
  from pg_locks l join pg_stat_activity s using (pid)
 where l.locktype = 'advisory' and l.classid = 0 and l.objid = %s and l.objsubid = 1 and l.granted
   and l.database = (select oid from pg_database where datname = current_database())"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One invocation of `pm`.

    Attributes:
        deployment: What it works on.
        progress: What the operator sees meanwhile.
        evidence: What is kept of it.
    """

    deployment: Deployment
    progress: Progress
    evidence: EvidenceLog

    @property
    def source(self) -> Database:
        """The source's database."""
        return self.deployment.database("source")

    @property
    def target(self) -> Database:
        """The target's database."""
        return self.deployment.database("target")

    @contextmanager
    def alone(self, *, both: bool = True) -> Iterator[None]:
        """Keep every other changing verb away while the block runs, and prove that evidence can be kept of it.

        Args:
            both: Whether both databases must answer. Traffic can be moved away from an environment whose database is
                down: the other one's lock keeps the other verbs away.

        Raises:
            EngineBusyError: Another one runs; the message says which, where and since when.
            DatabaseUnreachableError: A database that must answer does not.
            UsageError: The evidence file cannot be written.
        """
        self.evidence.record("started")
        with ExitStack() as stack:
            unreachable: DatabaseUnreachableError | None = None
            for database in in_order((self.source, self.target)):
                try:
                    session = stack.enter_context(database.connect(application_name=engine_name(self.evidence.verb)))
                except DatabaseUnreachableError as error:
                    if both or unreachable is not None:
                        raise
                    unreachable = error
                    self.progress.step(f"going on without it: {error}")
                    continue
                with cut_after(_ANSWER_SECONDS, session):
                    _lock(session)
            yield


def _lock(session: psycopg.Connection[Any]) -> None:
    row = session.execute("select pg_try_advisory_lock(%s)", (COMMAND_LOCK,)).fetchone()
    if row is None or not row[0]:
        holder = session.execute(_HOLDER, (COMMAND_LOCK,)).fetchone()
        who = "it ended just now" if holder is None else "{} (server pid {}) from {}, since {} UTC".format(*holder)
        raise EngineBusyError(
            f"another pm works on this deployment: {who}; wait until it ends, or end it, and run again"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who takes writes, as far as both fences say.

    Attributes:
        source: The source's fence.
        target: The target's fence.
    """

    source: FenceState
    target: FenceState

    @property
    def installed(self) -> bool:
        """Whether both databases have the control schema."""
        return self.source.installed and self.target.installed

    @property
    def moved(self) -> bool:
        """Whether the writer has ever moved: the load is over then, and replication follows the writer."""
        return self.installed and max(self.source.epoch, self.target.epoch) > SOURCE_WORD // 10

    @property
    def finished(self) -> bool:
        """Whether `pm finish` has been here: the target is free of it, the source is sealed for good."""
        return self.source.installed and self.source.state == "sealed" and not self.target.installed

    @property
    def open(self) -> Environment | None:
        """The open writer by pm-writer's rule; None while the writer moves."""
        sides: tuple[tuple[Environment, FenceState], ...] = (("source", self.source), ("target", self.target))
        candidates = [(state.epoch, name) for name, state in sides if state.installed and state.state == "open"]
        if candidates:
            return max(candidates)[1]
        if not self.source.installed:
            return "source"
        return "target" if self.finished else None


def read_writer(run: Run) -> Writer:
    """Both fences."""
    return Writer(source=read_state(run.source), target=read_state(run.target))


def other(environment: Environment) -> Environment:
    """The other side."""
    return "target" if environment == "source" else "source"


def require_installed(writer: Writer) -> Environment:
    """The open writer of a deployment in migration.

    Raises:
        RefusedError: The control schema is missing, or no side is open.
    """
    if writer.finished:
        raise RefusedError("the migration is finished (pm finish has run): there is nothing left to compare or move")
    if not writer.installed:
        sides = [n for n, s in (("source", writer.source), ("target", writer.target)) if not s.installed]
        raise RefusedError(f"no control schema on the {' and the '.join(sides)}: run `pm replicate` first")
    if writer.open is None:
        raise RefusedError(
            f"no side takes writes (source is {writer.source.state}, target is {writer.target.state}): "
            "a move was interrupted; run `pm cutover` to go on, or `pm rollback` to go back"
        )
    return writer.open
