"""The data plane of one task: PostgreSQL's own logical replication from the source to the target.

A publication on the source and a subscription on the target, both named after the task. Rows that arrive are applied in
sessions with ``session_replication_role = replica`` and there is no origin filter, as with DMS.

Killing the mover behind a task's back (what a test of growing lag does): ``ALTER SUBSCRIPTION <name> DISABLE`` on the
target, or :meth:`Mover.interrupt`. The task goes on saying ``running``.
"""

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from pm_rehearsal.cloud.dms import checks, publication, slot
from pm_rehearsal.cloud.dms.checks import TaskError
from pm_rehearsal.cloud.dms.logins import Connection, LoginError, Side
from pm_rehearsal.cloud.dms.mappings import Table, TableMappings
from pm_rehearsal.cloud.dms.relay import DelayingRelay

_NAME_BYTES = 63
_IMPATIENT = "SET lock_timeout = '10s'"  # publications and subscriptions queue behind long DDL; others behind them


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a task moves, and how.

    Attributes:
        name: Of the publication and the subscription.
        slot: On the source; made when it does not exist and no start position is asked for.
        source: Where rows come from.
        target: Where they go.
        mappings: Which tables.
        load: Copy the existing rows first.
        truncate: Empty each table before it is loaded.
        capture_truncate: Pass the source's TRUNCATE on.
        latency_seconds: Hold each change back for so long.
    """

    name: str
    slot: str
    source: Side
    target: Side
    mappings: TableMappings
    load: bool
    truncate: bool = False
    capture_truncate: bool = True
    latency_seconds: float = 0.0


def object_name(task_identifier: str) -> str:
    """The name of a task's publication, subscription and own slot: a PostgreSQL identifier, unique per task."""
    name = "dms_" + re.sub(r"[^a-z0-9_]", "_", task_identifier.lower())
    if len(name) <= _NAME_BYTES:
        return name
    return f"{name[: _NAME_BYTES - 9]}_{zlib.crc32(name.encode()):08x}"


class Mover:
    """Moves the rows of one task. Not thread-safe: one call at a time.

    Args:
        plan: What and how.
        made_slot: Whether an earlier run of the task made the slot, so that ``discard`` drops it.

    Every method raises TaskError, with a message that names no secret.
    """

    def __init__(self, plan: Plan, *, made_slot: bool = False) -> None:
        self.plan = plan
        self.tables: tuple[Table, ...] = ()
        self.made_slot = made_slot
        self._relay: DelayingRelay | None = None

    def prepare(self) -> None:
        """Make the publication, so that a later ``begin`` may start at any position from now on."""
        with self._source() as source, self.plan.source.connect() as own:
            self.tables = tuple(checks.source_tables(own, self.plan.mappings))
            self._publish(source)

    def begin(self, *, position: str | None = None, before_apply: Callable[[Connection], None] | None = None) -> None:
        """Start from nothing: a fresh subscription, with a full load when the plan says so.

        Args:
            position: For CDC: the first change that is applied is the first one committed at or after this position
                (``0/1A2B3C``) in the source's WAL. The slot must exist and still hold it.
            before_apply: Called with a connection to the target when all is ready and nothing has moved yet.
        """
        with self._connections() as (source, target):
            self.tables = tuple(self._check())
            self._drop_subscription(target)
            self._publish(source)
            self._take_slot(source, position)
            if self.plan.truncate:
                self._truncate()
            self._subscribe(target)
            if position is not None:
                # Durable before the first change arrives; moving the slot instead would not survive a crash.
                target.execute(
                    "SELECT pg_replication_origin_advance('pg_' || oid, %s::pg_lsn) FROM pg_subscription"
                    " WHERE subname = %s",
                    [position, self.plan.name],
                )
            if before_apply is not None:
                before_apply(target)
            self._enable(target)

    def resume(self) -> None:
        """Go on from where the subscription stopped; tables that the mappings gained are loaded first."""
        with self._connections() as (source, target):
            if not self._subscribed(target):
                raise TaskError(
                    "the task has no replication state on the target: start it with reload-target, or a CDC task with "
                    "start-replication and a CdcStartPosition"
                )
            self.tables = tuple(self._check())
            if slot.find(source, self.plan.slot) is None:
                raise TaskError(f'replication slot "{self.plan.slot}" does not exist: changes since the stop are gone')
            changed = self._publish(source)
            target.execute(
                sql.SQL("ALTER SUBSCRIPTION {} CONNECTION {}").format(self._name, sql.Literal(self._conninfo()))
            )
            self._enable(target)
            if changed:
                target.execute(
                    sql.SQL("ALTER SUBSCRIPTION {} REFRESH PUBLICATION WITH (copy_data = {})").format(
                        self._name, sql.Literal(self.plan.load)
                    )
                )

    def halt(self) -> None:
        """Stop applying and wait until nobody reads the slot; the position is kept for ``resume``."""
        with self._connections() as (source, target):
            if self._subscribed(target):
                target.execute(sql.SQL("ALTER SUBSCRIPTION {} DISABLE").format(self._name))
            slot.wait_unread(source, self.plan.slot)
        self.close()

    def interrupt(self) -> None:
        """Die as a crashed data mover would: nothing is applied any more, and nobody is told."""
        with self._connections() as (_, target):
            target.execute(sql.SQL("ALTER SUBSCRIPTION {} DISABLE").format(self._name))

    def reload(self, tables: Sequence[Table]) -> None:
        """Load some tables again while the task runs; emptied first when the plan truncates."""
        unknown = [table for table in tables if table not in self.tables]
        if unknown:
            raise TaskError(f"{', '.join('.'.join(t) for t in unknown)} is not among the task's tables")
        refresh = sql.SQL("ALTER SUBSCRIPTION {} REFRESH PUBLICATION").format(self._name)
        change = sql.SQL("ALTER PUBLICATION {} {} TABLE {}")
        names = sql.SQL(", ").join(sql.Identifier(*table) for table in tables)
        with self._connections() as (source, target):
            source.execute(change.format(self._name, sql.SQL("DROP"), names))
            target.execute(refresh)
            if self.plan.truncate:
                self._truncate(tables)
            source.execute(change.format(self._name, sql.SQL("ADD"), names))
            publication.remark(source, self.plan.name)
            target.execute(refresh)

    def discard(self) -> None:
        """Remove the subscription and the publication, and the slot if ``begin`` made it."""
        with self._connections() as (source, target):
            self._drop_subscription(target)
            publication.drop(source, self.plan.name)
            shared = target.execute("SELECT FROM pg_subscription WHERE subslotname = %s", [self.plan.slot]).fetchone()
            if self.made_slot and shared is None:
                slot.drop(source, self.plan.slot)
        self.close()

    def close(self) -> None:
        """End what runs in this process; the databases are left as they are."""
        if self._relay is not None:
            self._relay.close()
            self._relay = None

    @property
    def _name(self) -> sql.Identifier:
        return sql.Identifier(self.plan.name)

    @contextmanager
    def _source(self) -> Iterator[Connection]:
        with _reported(), self.plan.source.admin.connect_discreetly() as source:
            source.execute(_IMPATIENT)
            yield source

    @contextmanager
    def _connections(self) -> Iterator[tuple[Connection, Connection]]:
        with self._source() as source, self.plan.target.admin.connect_discreetly() as target:
            target.execute(_IMPATIENT)
            yield source, target

    def _check(self) -> list[Table]:
        with self.plan.source.connect() as source, self.plan.target.connect() as target:
            tables = checks.source_tables(source, self.plan.mappings)
            checks.target_tables(target, tables, truncate=self.plan.truncate)
        return tables

    def _publish(self, source: Connection) -> bool:
        return publication.ensure(source, self.plan.name, self.tables, truncate=self.plan.capture_truncate)

    def _take_slot(self, source: Connection, position: str | None) -> None:
        slot.wait_unread(source, self.plan.slot)
        found = slot.find(source, self.plan.slot)
        if found is None and position is not None:
            raise TaskError(
                f'replication slot "{self.plan.slot}" does not exist, so nothing was kept since {position}: make '
                "the slot before the position is taken"
            )
        if found is None:
            found = slot.create(source, self.plan.slot)
            self.made_slot = True
        if not self.plan.load:
            since = publication.since(source, self.plan.name)
            slot.check_position(source, found, position or found.confirmed, published_since=since)

    def _subscribe(self, target: Connection) -> None:
        # Commits are durable, as DMS's are: by default they are not, and a target that crashes just after the load has
        # forgotten that its tables are complete, while the slots with which they would be completed are gone.
        target.execute(
            sql.SQL(
                "CREATE SUBSCRIPTION {} CONNECTION {} PUBLICATION {} WITH (slot_name = {}, create_slot = false,"
                " copy_data = {}, enabled = false, origin = any, disable_on_error = false, synchronous_commit = 'on')"
            ).format(
                self._name,
                sql.Literal(self._conninfo()),
                self._name,
                sql.Literal(self.plan.slot),
                sql.Literal(self.plan.load),
            )
        )

    def _conninfo(self) -> str:
        login = self.plan.source.own  # whoever looks at the source sees the endpoint's user read, as on AWS
        if not self.plan.latency_seconds:
            return login.conninfo()
        if self._relay is None:
            self._relay = DelayingRelay(host=login.host, port=login.port, delay_seconds=self.plan.latency_seconds)
        return login.conninfo(host=self._relay.host, port=self._relay.port)

    def _enable(self, target: Connection) -> None:
        target.execute(sql.SQL("ALTER SUBSCRIPTION {} ENABLE").format(self._name))

    def _subscribed(self, target: Connection) -> bool:
        row = target.execute(
            "SELECT FROM pg_subscription WHERE subname = %s"
            " AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [self.plan.name],
        ).fetchone()
        return row is not None

    def _drop_subscription(self, target: Connection) -> None:
        if self._subscribed(target):
            target.execute(sql.SQL("ALTER SUBSCRIPTION {} DISABLE").format(self._name))
            # Without its slot it goes even when the source is away, and the slot is not its to drop.
            target.execute(sql.SQL("ALTER SUBSCRIPTION {} SET (slot_name = NONE)").format(self._name))
            target.execute(sql.SQL("DROP SUBSCRIPTION {}").format(self._name))

    def _truncate(self, tables: Sequence[Table] | None = None) -> None:
        # One by one with the endpoint's own rights, as DMS does it: refused where a foreign key points at the table.
        with self.plan.target.connect() as target:
            for table in tables or self.tables:
                target.execute(sql.SQL("TRUNCATE TABLE {}").format(sql.Identifier(*table)))


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except LoginError as error:
        raise TaskError(str(error)) from error
    except psycopg.Error as error:
        # Only the server's own message: the statement may hold a password.
        raise TaskError(error.diag.message_primary or type(error).__name__) from error
