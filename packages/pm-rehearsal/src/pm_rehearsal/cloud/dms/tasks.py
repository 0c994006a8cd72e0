"""Replication tasks: when each action is allowed, and what it sets in motion."""

import logging
import time
from collections.abc import Callable

from pm_rehearsal.cloud.dms import control_tables
from pm_rehearsal.cloud.dms.checks import TaskError
from pm_rehearsal.cloud.dms.endpoints import Endpoints
from pm_rehearsal.cloud.dms.events import Events
from pm_rehearsal.cloud.dms.infrastructure import Tags, arn_of
from pm_rehearsal.cloud.dms.logins import LoginError
from pm_rehearsal.cloud.dms.mappings import parse_mappings
from pm_rehearsal.cloud.dms.mover import Mover, Plan
from pm_rehearsal.cloud.dms.run import Metrics, Run
from pm_rehearsal.cloud.dms.settings import TaskSettings, parse_settings
from pm_rehearsal.cloud.dms.store import Attributes, Resource, Shelf, check, describe, page, resource_id
from pm_rehearsal.cloud.dms.task import LOAD, Task, described, statistics
from pm_rehearsal.cloud.dms.task_rules import (
    RELOAD,
    RESUME,
    check_documents,
    check_position,
    check_slot,
    check_start,
    invalid_state,
)
from pm_rehearsal.cloud.extension import Action, Extension, ServiceError

STOPPED_NORMALLY = "Stop Reason NORMAL"
_CREATE = (
    *("ReplicationTaskIdentifier", "SourceEndpointArn", "TargetEndpointArn", "ReplicationInstanceArn"),
    *("MigrationType", "TableMappings"),
)

log = logging.getLogger(__name__)


class Tasks:
    """All tasks.

    Args:
        extension: The running MiniStack.
        tags: Where tags are kept.
        endpoints: Where tasks read and write.
        events: Who hears of their changes.
        instance: The replication instance of an ARN.
        publish: Takes a task's metrics, with its instance and itself.
        latency_seconds: Hold each change back for so long.
    """

    def __init__(
        self,
        extension: Extension,
        *,
        tags: Tags,
        endpoints: Endpoints,
        events: Events,
        instance: Callable[[str], Resource],
        publish: Callable[[Resource, Resource, Metrics], None],
        latency_seconds: float,
    ) -> None:
        self._extension = extension
        self._tags = tags
        self._endpoints = endpoints
        self._events = events
        self._instance = instance
        self._publish = publish
        self._latency_seconds = latency_seconds
        self.tasks: Shelf[Task] = Shelf(
            extension.scope, what="replication task", keys=("ReplicationTaskIdentifier", "ReplicationTaskArn")
        )

    def actions(self) -> dict[str, Action]:
        """By name; ``PmStopMover`` is ours, for tests."""
        return {
            "CreateReplicationTask": self.create,
            "ModifyReplicationTask": self.modify,
            "DeleteReplicationTask": self.delete,
            "DescribeReplicationTasks": self.describe,
            "StartReplicationTask": self.start,
            "StopReplicationTask": self.stop,
            "ReloadTables": self.reload_tables,
            "DescribeTableStatistics": self.describe_table_statistics,
            "PmStopMover": self.stop_mover,
        }

    def close(self) -> None:
        """Forget every task and end what runs for them in this process."""
        for task in self.tasks.everywhere():
            if task.run is not None:
                task.run.abandon()
            if task.mover is not None:
                task.mover.close()
        self.tasks.clear()

    def create(self, request: Attributes) -> Attributes:
        """CreateReplicationTask; the task is ready, and stopped."""
        check(
            request,
            required=_CREATE,
            optional=("ReplicationTaskSettings", "CdcStartPosition", "Tags", "ResourceIdentifier"),
        )
        check_documents(request["MigrationType"], request["TableMappings"], request.get("ReplicationTaskSettings"))
        check_position(request.get("CdcStartPosition"), request["MigrationType"])
        self._instance(request["ReplicationInstanceArn"])
        for side in ("Source", "Target"):
            endpoint = self._endpoints.endpoints.get(request[f"{side}EndpointArn"])
            if endpoint["EndpointType"] != side.upper():
                raise ServiceError(
                    "InvalidParameterValueException",
                    f"{side}EndpointArn is {endpoint['EndpointIdentifier']}, a {endpoint['EndpointType']} endpoint",
                )
        task = self.tasks.add(
            Task(
                {
                    **{name: request[name] for name in _CREATE},
                    "ReplicationTaskIdentifier": request["ReplicationTaskIdentifier"].lower(),
                    "ReplicationTaskSettings": request.get("ReplicationTaskSettings") or "{}",
                    "CdcStartPosition": request.get("CdcStartPosition") or "",
                    "ReplicationTaskArn": arn_of(self._extension, "task", resource_id(request)),
                    "ReplicationTaskCreationDate": time.time(),
                    "Status": "ready",
                }
            )
        )
        self._tags.set(task["ReplicationTaskArn"], request.get("Tags") or [])
        self._tell(task, "creation", "Replication task has been created.")
        return self._answer(task)

    def modify(self, request: Attributes) -> Attributes:
        """ModifyReplicationTask; refused while the task runs."""
        check(
            request,
            required=("ReplicationTaskArn",),
            optional=("ReplicationTaskIdentifier", "MigrationType", "TableMappings", "ReplicationTaskSettings"),
        )
        task = self.tasks.get(request["ReplicationTaskArn"])
        with task.lock:
            if task.busy:
                raise invalid_state(f"the task is {task['Status']} and cannot be modified: stop it first")
            for name in ("ReplicationTaskIdentifier", "MigrationType"):
                if request.get(name, task[name]).lower() != task[name]:
                    raise ServiceError(
                        "InvalidParameterValueException",
                        f"{name} cannot be changed in the embedded AWS: it would load everything again; create another",
                    )
            mappings = request.get("TableMappings") or task["TableMappings"]
            settings = request.get("ReplicationTaskSettings") or task["ReplicationTaskSettings"]
            check_documents(task["MigrationType"], mappings, settings)
            task.attributes |= {"TableMappings": mappings, "ReplicationTaskSettings": settings}
        self._tell(task, "configuration change", "Replication task has been modified.")
        return self._answer(task)

    def delete(self, request: Attributes) -> Attributes:
        """DeleteReplicationTask; refused while the task runs."""
        check(request, required=("ReplicationTaskArn",))
        task = self.tasks.get(request["ReplicationTaskArn"])
        with task.lock:
            if task.busy:
                raise invalid_state(f"the task is {task['Status']} and cannot be deleted: stop it first")
            task.attributes["Status"] = "deleting"
            try:
                (task.mover or Mover(self._plan(task))).discard()
            except TaskError as error:  # a database that is gone has nothing left to remove
                log.warning("task %s leaves its replication objects: %s", task["ReplicationTaskIdentifier"], error)
            self.tasks.remove(task)
        self._tags.forget(task["ReplicationTaskArn"])
        self._tell(task, "deletion", "Replication task has been deleted.")
        return self._answer(task)

    def describe(self, request: Attributes) -> Attributes:
        """DescribeReplicationTasks."""
        check(request, optional=("Filters", "MaxRecords", "Marker", "WithoutSettings"))
        filters = {
            "replication-task-arn": "ReplicationTaskArn",
            "replication-task-id": "ReplicationTaskIdentifier",
            "migration-type": "MigrationType",
            "replication-instance-arn": "ReplicationInstanceArn",
        }
        hidden = {"ReplicationTaskSettings", "TableMappings"} if request.get("WithoutSettings") else set[str]()
        shown = [
            Resource({name: value for name, value in described(task).items() if name not in hidden})
            for task in self.tasks.all()
        ]
        return describe(shown, request, "ReplicationTasks", filters)

    def start(self, request: Attributes) -> Attributes:
        """StartReplicationTask: the first time start-replication, afterwards resume-processing or reload-target.

        A stopped CDC task also starts anew with start-replication and a CdcStartPosition.
        """
        check(request, required=("ReplicationTaskArn", "StartReplicationTaskType"), optional=("CdcStartPosition",))
        task, kind = self.tasks.get(request["ReplicationTaskArn"]), request["StartReplicationTaskType"]
        position = request.get("CdcStartPosition")
        with task.lock:
            if task.busy or task["Status"] == "deleting":
                raise invalid_state(f"Replication Task cannot be started, invalid state: {task['Status']}")
            check_start(kind, task, position)
            check_slot(
                task, self._endpoints.endpoints.get(task["SourceEndpointArn"])["PostgreSQLSettings"].get("SlotName")
            )
            for side in ("SourceEndpointArn", "TargetEndpointArn"):
                if not self._endpoints.proven(task["ReplicationInstanceArn"], task[side]):
                    raise invalid_state(
                        "Test connection for replication instance and endpoint should be successful for starting the "
                        f"replication task: call TestConnection for {task[side]}"
                    )
            if position or kind == RELOAD:
                task.attributes["CdcStartPosition"] = position or ""
            task.attributes |= {"Status": "starting", "LastFailureMessage": "", "StopReason": ""}
            task.attributes.setdefault("ReplicationTaskStartDate", time.time())
        self._extension.background("dms-start", self._begin, task, kind)
        return self._answer(task)

    def stop(self, request: Attributes) -> Attributes:
        """StopReplicationTask; refused unless the task runs."""
        check(request, required=("ReplicationTaskArn",))
        task = self.tasks.get(request["ReplicationTaskArn"])
        with task.lock:
            if task["Status"] != "running":
                raise invalid_state(f"Replication Task {task['ReplicationTaskArn']} is currently not running")
            task.attributes["Status"] = "stopping"
        self._extension.background("dms-stop", self._halt, task)
        return self._answer(task)

    def reload_tables(self, request: Attributes) -> Attributes:
        """ReloadTables of a running task: load some tables again, or only validate them anew."""
        check(request, required=("ReplicationTaskArn", "TablesToReload"), optional=("ReloadOption",))
        task = self.tasks.get(request["ReplicationTaskArn"])
        option = request.get("ReloadOption", "data-reload")
        if option not in {"data-reload", "validate-only"}:
            raise ServiceError("InvalidParameterValueException", f"ReloadOption {option}: data-reload or validate-only")
        tables = [(table["SchemaName"], table["TableName"]) for table in request["TablesToReload"]]
        with task.lock:
            if task["Status"] != "running" or task.mover is None or task.run is None:
                raise invalid_state("only a running task can reload or validate tables")
            if option == "data-reload" and task["MigrationType"] != LOAD:
                raise invalid_state("only a full-load-and-cdc task can reload tables")
            try:
                if option == "data-reload":
                    task.mover.reload(tables)
                for table in tables if option == "validate-only" else ():
                    task.run.revalidate(table)
            except TaskError as error:
                raise invalid_state(str(error)) from error
        return {"ReplicationTaskArn": task["ReplicationTaskArn"]}

    def describe_table_statistics(self, request: Attributes) -> Attributes:
        """DescribeTableStatistics, at most a second old."""
        check(request, required=("ReplicationTaskArn",), optional=("Filters", "MaxRecords", "Marker"))
        task = self.tasks.get(request["ReplicationTaskArn"])
        tables = [
            Resource(statistics(schema, name, table, task.run.verdict((schema, name)) if task.run else None))
            for (schema, name), table in task.progress.tables().items()
        ]
        filters = {"schema-name": "SchemaName", "table-name": "TableName", "table-state": "TableState"}
        shown = describe(tables, {"Filters": request.get("Filters")}, "TableStatistics", filters)["TableStatistics"]
        return {"ReplicationTaskArn": task["ReplicationTaskArn"], **page(shown, request, "TableStatistics")}

    def stop_mover(self, request: Attributes) -> Attributes:
        """PmStopMover: the data mover dies and nobody notices; the task goes on saying that it runs."""
        check(request, required=("ReplicationTaskArn",))
        task = self.tasks.get(request["ReplicationTaskArn"])
        if task["Status"] != "running" or task.mover is None:
            raise invalid_state("the task does not run")
        task.mover.interrupt()
        return {}

    def on_instance(self, instance_arn: str) -> bool:
        """Whether a replication instance has tasks."""
        return any(task["ReplicationInstanceArn"] == instance_arn for task in self.tasks.all())

    def of_endpoint(self, endpoint_arn: str, running: bool) -> list[str]:
        """Names of the tasks that use an endpoint; only the busy ones when ``running``."""
        return [
            task["ReplicationTaskIdentifier"]
            for task in self.tasks.all()
            if endpoint_arn in (task["SourceEndpointArn"], task["TargetEndpointArn"]) and (task.busy or not running)
        ]

    def _begin(self, task: Task, kind: str) -> None:
        try:
            mover = Mover(self._plan(task), made_slot=task.mover is not None and task.mover.made_slot)
            if task.mover is not None:
                task.mover.close()
            task.mover = mover
            settings = self._settings(task)
            self._make_control_tables(mover.plan, settings)
            if kind == RESUME:
                mover.resume()
                task.stats["StartDate"] = time.time()
            else:
                task.progress.restart()
                now = time.time()
                task.stats = {"FreshStartDate": now, "StartDate": now}
                mover.begin(
                    position=task["CdcStartPosition"] or None,
                    before_apply=lambda target: task.progress.sample(target, time.time()),
                )
            self._prepare_others(task, mover.plan)
        except TaskError as error:
            self._fail(task, str(error))
            return
        instance = self._instance(task["ReplicationInstanceArn"])
        with task.lock:
            task.run = Run(
                mover=mover,
                progress=task.progress,
                settings=settings,
                task=task["ReplicationTaskArn"].rpartition(":")[2],
                spawn=lambda name, function: self._extension.background(name, function),
                publish=lambda metrics: self._publish(instance, task, metrics),
                fail=lambda message: self._fail(task, message),
            )
            task.attributes["Status"] = "running"
        self._tell(task, "state change", "Replication task has started.")

    def _halt(self, task: Task) -> None:
        try:
            if task.run is not None:
                task.run.stop()
            if task.mover is not None:
                task.mover.halt()
        except TaskError as error:
            self._fail(task, str(error))
            return
        with task.lock:
            task.stats["StopDate"] = time.time()
            task.attributes |= {"Status": "stopped", "StopReason": STOPPED_NORMALLY}
        self._tell(task, "state change", "Replication task has stopped.")

    def _fail(self, task: Task, message: str) -> None:
        with task.lock:
            task.stats["StopDate"] = time.time()
            task.attributes |= {
                "Status": "failed",
                "StopReason": "Stop Reason FATAL_ERROR Error Level FATAL",
                "LastFailureMessage": f"Last Error  {message} Stop Reason FATAL_ERROR Error Level FATAL",
            }
        log.error("task %s failed: %s", task["ReplicationTaskIdentifier"], message)
        self._tell(task, "failure", f"Replication task has failed. {message}")

    def _make_control_tables(self, plan: Plan, settings: TaskSettings) -> None:
        try:
            with plan.target.connect() as target:
                control_tables.ensure(target, settings.control_schema, validation=settings.validation is not None)
        except LoginError as error:
            raise TaskError(str(error)) from error

    def _prepare_others(self, started: Task, plan: Plan) -> None:
        """Publish for the tasks that may start later, at positions from now on, between the same two databases."""
        databases = {(side.own.port, side.own.dbname) for side in (plan.source, plan.target)}
        for task in self.tasks.all():
            if task is started or task.busy:
                continue
            try:
                other = self._plan(task)
                if {(side.own.port, side.own.dbname) for side in (other.source, other.target)} == databases:
                    Mover(other).prepare()
            except TaskError as error:  # its own start will say so, loudly
                log.warning("task %s could not be prepared: %s", task["ReplicationTaskIdentifier"], error)

    def _plan(self, task: Task) -> Plan:
        settings = self._settings(task)
        source = self._endpoints.endpoints.get(task["SourceEndpointArn"])
        return Plan(
            name=task.object_name,
            slot=source["PostgreSQLSettings"].get("SlotName") or task.object_name,
            source=self._endpoints.side(task["SourceEndpointArn"]),
            target=self._endpoints.side(task["TargetEndpointArn"]),
            mappings=parse_mappings(task["TableMappings"]),
            load=task["MigrationType"] == LOAD,
            truncate=settings.truncate,
            capture_truncate=settings.capture_truncate,
            latency_seconds=self._latency_seconds,
        )

    def _settings(self, task: Task) -> TaskSettings:
        return parse_settings(task["ReplicationTaskSettings"], load=task["MigrationType"] == LOAD)

    def _answer(self, task: Task) -> Attributes:
        return {"ReplicationTask": described(task)}

    def _tell(self, task: Task, category: str, message: str) -> None:
        identifier = task["ReplicationTaskIdentifier"]
        self._events.publish(source="replication-task", identifier=identifier, category=category, message=message)
