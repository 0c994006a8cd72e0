"""The function behind RunningTasks: tasks stand still while CloudFormation changes or deletes them.

DMS refuses to modify or delete a running task, or the endpoints of one. So `Custom::PausedTasks`, which CloudFormation
updates before them, stops the running ones and marks each with a tag. `Custom::ResumedTasks`, updated after them and
deleted before them, starts the marked ones where they stopped, and stops all of them before they are deleted. The mark
is on the task itself: whoever was killed in between, the next run knows what had been running.

An update that fails in between never reaches `Custom::ResumedTasks`. But the physical id of `Custom::PausedTasks` says
what the tasks are made from, so that a pause replaces that resource, and CloudFormation deletes the one that is left
over at the very end, of the update or of its rollback, when every task is as it shall stay. That Delete resumes, too.
"""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import boto3
from botocore.config import Config

from pm_core.custom_resources import LOG, Outcome, Request, answers

# Statuses in which DMS refuses to modify or delete a task. Source: AWS DMS user guide, "Task status".
BUSY = frozenset({"starting", "running", "stopping", "modifying", "testing", "moving"})
# `pm_core.tags.PAUSED_TASK`, which is not there inside Lambda; a test compares the two.
MARK = "pm:resume"
POLL_SECONDS = 2.0
_AWS = Config(connect_timeout=5, read_timeout=30, retries={"max_attempts": 8, "mode": "standard"})


class TaskTimeoutError(TimeoutError):
    """Tasks did not get where they should in time; the message names them and their statuses."""


class LoadingError(RuntimeError):
    """A task cannot be paused now, for it loads tables; the message says when it can."""


class ReloadError(ValueError):
    """An update would replace tasks, which loads every row anew; the message says what to do instead."""


def refuse_reload(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Let no update replace a task.

    Args:
        old: The resource's properties before.
        new: The resource's properties now.

    Raises:
        ReloadError: The replication instance or a task's migration type is another one.
    """
    for name in ("InstanceArn", "MigrationTypes"):
        if name in old and old[name] != new[name]:
            raise ReloadError(
                f"{name} changes from {old[name]} to {new[name]}: DMS would replace the tasks and load every row anew. "
                "Before the cutover, if that is what you want: destroy the replication stack, empty the target's "
                "tables, deploy it again and run `pm replicate`"
            )


def pause(dms: Any, identifiers: Sequence[str], *, seconds: float) -> None:
    """Stop the running tasks, each marked first, and wait until none is busy; tasks that do not exist are fine.

    Raises:
        LoadingError: A task has not loaded every table yet. Stopped and resumed, it would load the rest of them from
            their beginnings, into the rows that are there.
        TaskTimeoutError: A task is still busy after ``seconds``.
    """
    _stand_still(dms, identifiers, seconds=seconds, mark=True)


def stop(dms: Any, identifiers: Sequence[str], *, seconds: float) -> None:
    """As ``pause``, for good.

    Raises:
        TaskTimeoutError: A task is still busy after ``seconds``.
    """
    _stand_still(dms, identifiers, seconds=seconds, mark=False)


def resume(dms: Any, identifiers: Sequence[str], *, seconds: float) -> list[str]:
    """Start every marked task where it stopped, wait until it runs, and take the mark off; which.

    Raises:
        TaskTimeoutError: A task does not run after ``seconds``.
    """
    deadline = time.monotonic() + seconds
    resumed: list[str] = []
    for identifier in identifiers:
        task = _task(dms, identifier)
        if task is None or not _marked(dms, task):
            continue
        arn = task["ReplicationTaskArn"]
        while task["Status"] != "running":
            if task["Status"] not in BUSY:
                _start(dms, identifier, arn)
            if time.monotonic() + POLL_SECONDS > deadline:
                raise TaskTimeoutError(f"{identifier} is {task['Status']}, not running: see its log")
            time.sleep(POLL_SECONDS)
            task = _task(dms, identifier) or task
        dms.remove_tags_from_resource(ResourceArn=arn, TagKeys=[MARK])
        resumed.append(identifier)
    return resumed


def _stand_still(dms: Any, identifiers: Sequence[str], *, seconds: float, mark: bool) -> None:
    deadline = time.monotonic() + seconds
    while busy := {name: task for name in identifiers if (task := _task(dms, name)) and task["Status"] in BUSY}:
        loading = [name for name, task in busy.items() if mark and _loads(task)]
        if loading:
            raise LoadingError(
                f"{', '.join(loading)} loads tables and cannot be paused: deploy this once `pm replicate` has ended"
            )
        for identifier, task in busy.items():
            if task["Status"] == "running":
                _stop(dms, identifier, task["ReplicationTaskArn"], mark=mark)
        if time.monotonic() + POLL_SECONDS > deadline:
            statuses = ", ".join(f"{name} is {task['Status']}" for name, task in sorted(busy.items()))
            raise TaskTimeoutError(f"still busy after {seconds:.0f} s: {statuses}")
        time.sleep(POLL_SECONDS)


def _stop(dms: Any, identifier: str, arn: str, *, mark: bool) -> None:
    LOG.info("stopping %s", identifier)
    try:
        if mark:
            dms.add_tags_to_resource(ResourceArn=arn, Tags=[{"Key": MARK, "Value": "true"}])
        dms.stop_replication_task(ReplicationTaskArn=arn)
    except (dms.exceptions.InvalidResourceStateFault, dms.exceptions.ResourceNotFoundFault) as error:
        # It changed since we looked; the next look tells.
        LOG.info("not stopped: %s", error)


def _start(dms: Any, identifier: str, arn: str) -> None:
    LOG.info("resuming %s", identifier)
    try:
        dms.start_replication_task(ReplicationTaskArn=arn, StartReplicationTaskType="resume-processing")
    except dms.exceptions.InvalidResourceStateFault as error:
        # It changed since we looked; the next look tells.
        LOG.info("not started: %s", error)


def _loads(task: Mapping[str, Any]) -> bool:
    done = task.get("ReplicationTaskStats", {}).get("FullLoadProgressPercent") == 100
    return bool(task["MigrationType"] != "cdc" and not done)


def _task(dms: Any, identifier: str) -> dict[str, Any] | None:
    try:
        found = dms.describe_replication_tasks(
            Filters=[{"Name": "replication-task-id", "Values": [identifier]}], WithoutSettings=True
        )["ReplicationTasks"]
    except dms.exceptions.ResourceNotFoundFault:
        return None
    return dict(found[0]) if found else None


def _marked(dms: Any, task: Mapping[str, Any]) -> bool:
    tags = dms.list_tags_for_resource(ResourceArn=task["ReplicationTaskArn"])["TagList"]
    return MARK in {tag["Key"] for tag in tags}


def identity(properties: Mapping[str, Any]) -> str:
    """The physical id of `Custom::PausedTasks`: what the tasks are made from."""
    made_from = json.dumps(
        [properties[name] for name in ("InstanceArn", "MigrationTypes", "Definition")], sort_keys=True
    )
    return f"paused-tasks-{hashlib.sha256(made_from.encode()).hexdigest()[:16]}"


def pause_work(request: Request) -> Outcome:
    """`Custom::PausedTasks`. Properties: Tasks (identifiers), InstanceArn, MigrationTypes, Definition."""
    wanted, tasks = identity(request.properties), request.properties["Tasks"]
    if request.kind == "Update" and request.physical_id != wanted:
        refuse_reload(request.old_properties, request.properties)
        pause(boto3.client("dms", config=_AWS), tasks, seconds=request.seconds)
    elif request.kind != "Create":
        # Left over, or the rollback of an update that this resource itself did not get through.
        resume(boto3.client("dms", config=_AWS), tasks, seconds=request.seconds)
    return Outcome(physical_id=request.physical_id if request.kind == "Delete" else wanted)


def resume_work(request: Request) -> Outcome:
    """`Custom::ResumedTasks`. Properties: Tasks (identifiers), Definition. On a Delete the tasks are stopped."""
    dms = boto3.client("dms", config=_AWS)
    if request.kind == "Update":
        resume(dms, request.properties["Tasks"], seconds=request.seconds)
    elif request.kind == "Delete":
        stop(dms, request.properties["Tasks"], seconds=request.seconds)
    return Outcome(physical_id="resumed-tasks")


def work(request: Request) -> Outcome:
    """One request of CloudFormation; property Side says which of the two resources it is for."""
    return pause_work(request) if request.properties["Side"] == "before" else resume_work(request)


handle = answers(work)
