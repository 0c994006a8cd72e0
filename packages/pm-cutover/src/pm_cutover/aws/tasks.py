"""One DMS replication task: what it is doing, and the rules by which it may be started and stopped."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from pm_core.tags import PAUSED_TASK
from pm_cutover.aws.session import AwsSession, error_code
from pm_cutover.deadlines import wait_for
from pm_cutover.errors import PersonNeededError, RefusedError

MARKER_TABLE = "pm_control.marker"
START_SECONDS = 600.0
STOP_SECONDS = 300.0
_MOVING = frozenset({"creating", "modifying", "starting", "stopping", "moving", "testing"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """A task as DMS describes it.

    Attributes:
        identifier: The task's name.
        status: DMS's word, for example ``ready`` (never ran), ``running``, ``stopped``, ``failed``.
        migration_type: ``full-load-and-cdc`` or ``cdc``.
        start_position: Where CDC was last started; empty when it was not given.
        full_load_done: Whether every table has been loaded.
        tables_errored: How many tables failed to load.
        message: Why it failed or stopped; may be empty.
        source_endpoint_arn: Where it reads.
        target_endpoint_arn: Where it writes.
        instance_arn: The replication instance.
    """

    identifier: str
    status: str
    migration_type: str
    start_position: str
    full_load_done: bool
    tables_errored: int
    message: str
    source_endpoint_arn: str
    target_endpoint_arn: str
    instance_arn: str

    @property
    def running(self) -> bool:
        """Whether it moves data now."""
        return self.status == "running"

    @property
    def ran_before(self) -> bool:
        """Whether it was ever started: then `resume-processing` applies, else `start-replication` (DMS's rule)."""
        return self.status not in {"ready", "creating", "testing"}

    @property
    def failed_loading(self) -> bool:
        """Whether it failed before every table was loaded; resuming such a task can silently copy nothing."""
        return self.status == "failed" and not self.full_load_done and self.migration_type != "cdc"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableLoad:
    """Progress of one table.

    Attributes:
        table: ``schema.table``.
        state: DMS's word, for example ``Table completed``.
        rows: Rows copied by the full load.
        inserts: Inserted since, by CDC.
        updates: Updated since.
        deletes: Deleted since.
        validation: DMS's own validation state; ``Not enabled`` where it is off.
    """

    table: str
    state: str
    rows: int
    inserts: int
    updates: int
    deletes: int
    validation: str

    @property
    def done(self) -> bool:
        """Whether the full load of this table is over."""
        return self.state == "Table completed"

    @property
    def failed(self) -> bool:
        """Whether DMS gave the table up."""
        return self.state in {"Table error", "Table cancelled", "Table does not exist"}


class ReplicationTask:
    """Starts, stops and describes one task.

    Args:
        aws: Where.
        arn: The task.
    """

    def __init__(self, *, aws: AwsSession, arn: str) -> None:
        self._dms = aws.client("dms")
        self.arn = arn

    def state(self) -> TaskState:
        """What DMS says now.

        Raises:
            RefusedError: The task does not exist.
        """
        task = self._describe()
        stats = task.get("ReplicationTaskStats") or {}
        return TaskState(
            identifier=task["ReplicationTaskIdentifier"],
            status=task["Status"],
            migration_type=task["MigrationType"],
            start_position=task.get("CdcStartPosition") or "",
            full_load_done=int(stats.get("FullLoadProgressPercent") or 0) == 100 and not stats.get("TablesLoading"),
            tables_errored=int(stats.get("TablesErrored") or 0),
            message=task.get("LastFailureMessage") or task.get("StopReason") or "",
            source_endpoint_arn=task["SourceEndpointArn"],
            target_endpoint_arn=task["TargetEndpointArn"],
            instance_arn=task["ReplicationInstanceArn"],
        )

    def tables(self) -> tuple[str, ...]:
        """The payment tables of its mappings as ``schema.table``, in order, without the engine's marker."""
        return mapped_tables(self._describe()["TableMappings"])

    def loads(self) -> tuple[TableLoad, ...]:
        """Progress of every table that the task has seen, without the engine's marker."""
        pages = self._dms.get_paginator("describe_table_statistics").paginate(ReplicationTaskArn=self.arn)
        loads = [
            TableLoad(
                table=f"{entry['SchemaName']}.{entry['TableName']}",
                state=entry.get("TableState") or "",
                rows=int(entry.get("FullLoadRows") or 0),
                inserts=int(entry.get("Inserts") or 0),
                updates=int(entry.get("Updates") or 0),
                deletes=int(entry.get("Deletes") or 0),
                validation=entry.get("ValidationState") or "Not enabled",
            )
            for page in pages
            for entry in page["TableStatistics"]
        ]
        return tuple(sorted((load for load in loads if load.table != MARKER_TABLE), key=lambda load: load.table))

    def start_or_resume(self) -> None:
        """Make it run: the first time from the beginning, later from where it stopped; waits until it runs.

        Raises:
            PersonNeededError: It failed, so resuming could silently copy nothing.
            RefusedError: It does not run within the deadline.
        """
        state = self._settled()
        if not state.running:
            if state.failed_loading:
                raise PersonNeededError(
                    f"task {state.identifier} failed during its full load ({state.message or 'no reason given'}): "
                    "resuming could copy nothing. Correct the cause, then load the target anew (docs/runbook.md: "
                    "drop the target's replicated tables, run this again)"
                )
            self._start("resume-processing" if state.ran_before else "start-replication")
        self._wait_running()

    def reload(self) -> None:
        """Load everything again; the caller has made sure that the target's tables are empty.

        Raises:
            RefusedError: It does not run within the deadline.
        """
        if not self._settled().running:
            self._start("reload-target")
        self._wait_running()

    def start_at(self, position: str) -> None:
        """Make a CDC task run from a log position; does nothing when it runs from there already.

        A CDC-only task may be started again at another position, with `start-replication` (StartReplicationTask's
        documentation); one that was started there before and stopped is resumed, so that it keeps its progress.

        Args:
            position: A PostgreSQL LSN, for example ``0/5120E10``.

        Raises:
            RefusedError: It runs from another position, or does not run within the deadline.
        """
        state = self._settled()
        same = same_position(state.start_position, position)
        if state.running and state.start_position and not same:
            raise RefusedError(
                f"task {state.identifier} runs from {state.start_position or 'its last stop'}, not from {position}: "
                "stop it with `aws dms stop-replication-task` and run again"
            )
        if not state.running:
            if same and state.ran_before:
                self._start("resume-processing")
            else:
                self._start("start-replication", CdcStartPosition=position)
        self._wait_running()

    def stop(self) -> None:
        """Make it stop and wait until it has, and stay so when a stack update ends that had paused it."""
        state = self._settled()
        self._take_over()
        if not state.running:
            return
        try:
            self._dms.stop_replication_task(ReplicationTaskArn=self.arn)
        except ClientError as error:
            if error_code(error) != "InvalidResourceStateFault":  # it stopped by itself in between
                raise
        wait_for(
            f"replication task {state.identifier} to stop",
            lambda: None if self.state().status in _MOVING | {"running"} else True,
            timeout_seconds=STOP_SECONDS,
            interval_seconds=0.2,
            advice="see the task's log in CloudWatch, then run again",
        )

    def endpoints(self) -> tuple[str, str]:
        """ARNs of the source endpoint and of the target endpoint."""
        state = self.state()
        return state.source_endpoint_arn, state.target_endpoint_arn

    def prove_endpoints(self) -> None:
        """Have both endpoints tested, unless they were: DMS starts no task before.

        Raises:
            RefusedError: DMS cannot connect.
        """
        state = self.state()
        for arn in (state.source_endpoint_arn, state.target_endpoint_arn):
            connection = self._connection(arn, state.instance_arn)
            if connection is not None and connection["Status"] == "successful":
                continue
            failure = self._test(arn, state.instance_arn)
            if failure:
                raise RefusedError(f"DMS cannot connect by {arn}: {failure}; see `pm preflight`")

    def test_endpoint(self, endpoint_arn: str) -> str:
        """Ask DMS to connect; what it said when it could not, else nothing."""
        return self._test(endpoint_arn, self.state().instance_arn)

    def _test(self, endpoint_arn: str, instance_arn: str) -> str:
        try:
            self._dms.test_connection(ReplicationInstanceArn=instance_arn, EndpointArn=endpoint_arn)
        except ClientError as error:
            if error_code(error) != "InvalidResourceStateFault":  # a test of this endpoint is already under way
                raise

        def outcome() -> str | None:
            connection = self._connection(endpoint_arn, instance_arn)
            if connection is not None and connection["Status"] == "successful":
                return ""
            if connection is not None and connection["Status"] == "failed":
                return str(connection.get("LastFailureMessage") or "no reason given")
            return None

        return wait_for(
            f"DMS to test endpoint {endpoint_arn}",
            outcome,
            timeout_seconds=120,
            interval_seconds=0.5,
            advice="look at the endpoint's connections in DMS",
        )

    def _connection(self, endpoint_arn: str, instance_arn: str) -> dict[str, Any] | None:
        """The latest test of one endpoint by the task's instance; None when there was none."""
        try:
            page = self._dms.describe_connections(
                Filters=[
                    {"Name": "endpoint-arn", "Values": [endpoint_arn]},
                    {"Name": "replication-instance-arn", "Values": [instance_arn]},
                ]
            )
        except ClientError as error:
            if error_code(error) != "ResourceNotFoundFault":
                raise
            return None
        return next(iter(page["Connections"]), None)

    def _describe(self) -> dict[str, Any]:
        try:
            tasks: list[dict[str, Any]] = self._dms.describe_replication_tasks(
                Filters=[{"Name": "replication-task-arn", "Values": [self.arn]}], WithoutSettings=False
            )["ReplicationTasks"]
        except ClientError as error:
            if error_code(error) != "ResourceNotFoundFault":
                raise
            tasks = []
        if not tasks:
            raise RefusedError(
                f"replication task {self.arn} does not exist: deploy the replication stack, which makes it"
            )
        return tasks[0]

    def _settled(self) -> TaskState:
        def settled() -> TaskState | None:
            state = self.state()
            return None if state.status in _MOVING else state

        return wait_for(
            f"replication task {self.arn} to settle",
            settled,
            timeout_seconds=START_SECONDS,
            interval_seconds=0.2,
            advice="see the task in DMS, then run again",
        )

    def _take_over(self) -> None:
        """Whatever a stack update remembers of the task, from now on it is as the engine leaves it."""
        self._dms.remove_tags_from_resource(ResourceArn=self.arn, TagKeys=[PAUSED_TASK])

    def _start(self, start_type: str, **position: str) -> None:
        self._take_over()
        self._dms.start_replication_task(ReplicationTaskArn=self.arn, StartReplicationTaskType=start_type, **position)

    def _wait_running(self) -> None:
        def running() -> TaskState | None:
            state = self.state()
            if state.status in {"failed", "stopped", "failed-move"}:
                raise RefusedError(
                    f"replication task {state.identifier} {state.status} right after its start: "
                    f"{state.message or 'no reason given'} - see its log in CloudWatch, then run again"
                )
            return state if state.running else None

        wait_for(
            f"replication task {self.arn} to run",
            running,
            timeout_seconds=START_SECONDS,
            interval_seconds=0.2,
            advice="see the task's log in CloudWatch, then run again",
        )


def mapped_tables(mappings: str) -> tuple[str, ...]:
    """The included tables of a DMS mapping document, without the engine's marker.

    Args:
        mappings: JSON with ``rules``.

    Raises:
        RefusedError: A rule is not an explicit include of one table.
    """
    rules: Sequence[dict[str, Any]] = json.loads(mappings)["rules"]
    tables: list[str] = []
    for rule in rules:
        if rule.get("rule-type") != "selection":
            continue
        locator = rule["object-locator"]
        table = f"{locator['schema-name']}.{locator['table-name']}"
        if rule.get("rule-action") != "include" or "%" in table:
            raise RefusedError(
                f"table mapping {table!r} is not an explicit include: list each table in the setting `tables` "
                "and deploy the replication stack"
            )
        if table != MARKER_TABLE:
            tables.append(table)
    return tuple(tables)


def same_position(one: str, other: str) -> bool:
    """Whether two LSNs are the same position, however they are written."""
    position = _position(one)
    return position is not None and position == _position(other)


def _position(lsn: str) -> int | None:
    high, _, low = lsn.partition("/")
    try:
        return int(high, 16) << 32 | int(low, 16)
    except ValueError:
        return None
