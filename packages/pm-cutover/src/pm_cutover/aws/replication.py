"""Replication between the two databases by DMS: three tasks, and one logical slot per direction."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from botocore.exceptions import BotoCoreError, ClientError
from psycopg import sql

from pm_core.contracts import ReplicationContract
from pm_cutover.aws.session import AwsSession, as_pm_error
from pm_cutover.aws.tasks import ReplicationTask
from pm_cutover.database import Database, DatabaseUnreachableError, Environment, cut_after
from pm_cutover.deadlines import wait_for
from pm_cutover.errors import PmError
from pm_cutover.replication import DeadEndError, ReplicationError

# The slot that the engine makes on each side, for the task that starts at a position: forward and reverse. The task
# load reads a slot of DMS's own.
SLOTS: dict[Environment, str] = {"source": "pm_forward", "target": "pm_reverse"}
SLOT_SECONDS = 60.0
READER_SECONDS = 10.0
ANSWER_SECONDS = 10.0
# Longer than everything that is waited for inside; a frozen server is given up then.
SLOT_WORK_SECONDS = 2 * SLOT_SECONDS + ANSWER_SECONDS
# Two users that alternate when the secret is rotated.
DMS_ROLES = ["pm_dms", "pm_dms_clone"]
_DMS_SLOTS = """
    select slot_name from pg_replication_slots join pg_stat_activity on pid = active_pid
    where usename = any(%s) and slot_name <> %s and database = current_database()
"""


class DmsReplication:
    """The protocol's ``Replication`` over DMS.

    Source -> target is the task ``load`` until it has been stopped for a first cutover, and ``forward`` after a
    rollback; target -> source is ``reverse``. Whoever of them runs is found out from DMS each time.

    Args:
        aws: Where.
        contract: The tasks and the slots' output plugin.
    """

    def __init__(self, *, aws: AwsSession, contract: ReplicationContract) -> None:
        self.load = ReplicationTask(aws=aws, arn=contract.load_task_arn)
        self.forward = ReplicationTask(aws=aws, arn=contract.forward_task_arn)
        self.reverse = ReplicationTask(aws=aws, arn=contract.reverse_task_arn)
        self._plugin = contract.slot_plugin

    def tasks_from(self, origin: Environment) -> tuple[ReplicationTask, ...]:
        """The tasks that read from one side."""
        return (self.load, self.forward) if origin == "source" else (self.reverse,)

    def _positioned(self, origin: Environment) -> ReplicationTask:
        """The task that reads from one side, from a position."""
        return self.forward if origin == "source" else self.reverse

    def running_from(self, origin: Environment) -> ReplicationTask | None:
        """The task that reads from one side now."""
        return next((task for task in self.tasks_from(origin) if task.state().running), None)

    def describe_from(self, origin: Environment) -> str:
        """The tasks that read from one side and how each is, for example ``reverse is failed (disk full)``."""
        return ", ".join(
            f"{state.identifier} is {state.status}{f' ({state.message})' if state.message else ''}"
            for state in (task.state() for task in self.tasks_from(origin))
        )

    def check_running(self, a: Database, b: Database) -> None:
        """Raise unless a -> b runs, every table is loaded and every change was applied."""
        with _replication_errors():
            task = self.running_from(a.name)
            if task is None:
                found = self.describe_from(a.name)
                raise ReplicationError(f"no replication {a.name} -> {b.name}: {found}; {self._remedy(a)}")
            states = {load.table: load for load in task.loads()}
            if failed := [f"{load.table} ({load.state})" for load in states.values() if load.failed]:
                raise ReplicationError(f"DMS gave up on {', '.join(failed)}: see the task's log")
            if task is self.load:
                unfinished = [name for name in task.tables() if name not in states or not states[name].done]
                if unfinished:
                    raise ReplicationError(f"not loaded yet: {', '.join(unfinished)}; wait, or see `pm status`")
                with a.connect() as connection, cut_after(READER_SECONDS + ANSWER_SECONDS, connection):
                    _note_slots(connection, a)
            with b.connect() as connection, cut_after(ANSWER_SECONDS, connection):
                _check_applied(connection, b)

    def prepare_slot(self, b: Database) -> None:
        """A fresh slot on ``b``, for a task that DMS would start."""
        with _replication_errors():
            self._positioned(b.name).prove_endpoints()
        with _replication_errors(), b.connect() as connection, cut_after(SLOT_WORK_SECONDS, connection):
            self._drop_slot(connection, b)
            self._create_slot(connection, b)

    def discard_slot(self, b: Database) -> None:
        """Drop the slot on ``b``; fine when there is none."""
        with _replication_errors(), b.connect() as connection, cut_after(SLOT_WORK_SECONDS, connection):
            self._drop_slot(connection, b)

    def stop(self, a: Database, b: Database) -> bool:  # noqa: ARG002 - the protocol names both sides
        """Stop every task a -> b, then drop its slot."""
        with _replication_errors():
            # One that stops already is waited for.
            moving = {"running", "starting", "stopping"}
            running = [task for task in self.tasks_from(a.name) if task.state().status in moving]
            for task in running:
                task.stop()
        with _replication_errors(), a.connect() as connection, cut_after(SLOT_WORK_SECONDS, connection):
            dropped = self._drop_slot(connection, a)
            for (name,) in connection.execute("select slot_name from pm_control.task_slot").fetchall():
                dropped = _drop(connection, a, name) or dropped
                connection.execute("delete from pm_control.task_slot where slot_name = %s", (name,))
            return bool(running) or dropped

    def start_from(self, b: Database, a: Database, lsn: str) -> bool:  # noqa: ARG002 - as above
        """Start b -> a at a position in the WAL of ``b``."""
        with _replication_errors():
            task = self._positioned(b.name)
            was_running = task.state().running
            if not was_running and (dead_end := self.dead_end(b)):
                raise DeadEndError(dead_end)
            task.start_at(lsn)
            return not was_running

    def dead_end(self, origin: Database) -> str:
        """Why nobody can read on from the engine's slot on one side, and what that means; empty when one can.

        Raises:
            ReplicationError: The database does not answer.
        """
        name = SLOTS[origin.name]
        with _replication_errors(), origin.connect() as connection, cut_after(ANSWER_SECONDS, connection):
            row = connection.execute(
                "select wal_status from pg_replication_slots where slot_name = %s", (name,)
            ).fetchone()
        if row is not None and row[0] != "lost":
            return ""
        lost = f"slot {name} on the {origin.name} {'is gone' if row is None else 'has lost what it had to keep'}"
        if origin.name == "source":
            return f"{lost}: the target needs a new load"
        return f"{lost}: the source lacks what was written since, there is no way back, only `pm finish` leads on"

    def _remedy(self, a: Database) -> str:
        """What makes the rows of ``a`` flow again: `pm replicate` starts only the load, a move what follows it."""
        if a.name == "source" and not self.forward.state().ran_before:
            return "run `pm replicate`"
        verb = "rollback" if a.name == "source" else "cutover"
        return self.dead_end(a) or f"run `pm {verb}` again, which starts it"

    def _create_slot(self, connection: psycopg.Connection[Any], database: Database) -> None:
        connection.execute(
            sql.SQL("set statement_timeout = {}").format(sql.Literal(int(SLOT_SECONDS * 1000)))
        )  # it waits for every transaction that is open on the server
        connection.execute("select pg_create_logical_replication_slot(%s, %s)", (SLOTS[database.name], self._plugin))

    def _drop_slot(self, connection: psycopg.Connection[Any], database: Database) -> bool:
        return _drop(connection, database, SLOTS[database.name])


def _note_slots(connection: psycopg.Connection[Any], a: Database) -> None:
    """Write down which slot the task load reads, while it reads it: afterwards nothing tells whose slot it is.

    Before a move fences, where a refusal costs nothing.
    """

    def read() -> list[tuple[str]] | None:
        return connection.execute(_DMS_SLOTS, (DMS_ROLES, SLOTS[a.name])).fetchall() or None

    slots = wait_for(
        f"DMS to read its slot on {a.name}",
        read,
        timeout_seconds=READER_SECONDS,
        interval_seconds=0.1,
        advice=f"the task load runs, but {DMS_ROLES[0]} reads no slot: see the task's log, then run again",
    )
    for (name,) in slots:
        connection.execute("insert into pm_control.task_slot values (%s) on conflict do nothing", (name,))


def _check_applied(connection: psycopg.Connection[Any], database: Database) -> None:
    """DMS writes down a change that finds no row, and goes on."""
    there = connection.execute("select from pg_class where oid = to_regclass('pm_control.awsdms_apply_exceptions')")
    if there.fetchone() is None:
        return
    found = connection.execute(
        'select "TABLE_OWNER" || \'.\' || "TABLE_NAME", count(*) from pm_control.awsdms_apply_exceptions group by 1'
    ).fetchall()
    if found:
        tables = ", ".join(f"{count} of {table}" for table, count in found)
        raise ReplicationError(
            f"DMS could not apply changes on {database.name}, {tables}: the reasons are in "
            "pm_control.awsdms_apply_exceptions there; run pm verify, correct what differs, and delete the reasons as "
            "the master user"
        )


def _drop(connection: psycopg.Connection[Any], database: Database, name: str) -> bool:
    def inactive() -> bool | None:
        return None if _slot(connection, name) is True else True

    if _slot(connection, name) is None:
        return False
    wait_for(
        f"slot {name} on {database.name} to have no reader",
        inactive,
        timeout_seconds=SLOT_SECONDS,
        interval_seconds=0.1,
        advice="a replication task still reads it; stop that task and run again",
    )
    connection.execute(
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s", (name,)
    )
    return True


def _slot(connection: psycopg.Connection[Any], name: str) -> bool | None:
    """Whether somebody reads the slot; None when there is no such slot."""
    row = connection.execute("select active from pg_replication_slots where slot_name = %s", (name,)).fetchone()
    return None if row is None else bool(row[0])


@contextmanager
def _replication_errors() -> Iterator[None]:
    """The protocol knows one kind of error."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise ReplicationError(str(as_pm_error(error))) from error
    except (PmError, DatabaseUnreachableError) as error:
        raise ReplicationError(str(error)) from error
    except psycopg.Error as error:
        raise ReplicationError(f"replication slot: {str(error).strip()}") from error
