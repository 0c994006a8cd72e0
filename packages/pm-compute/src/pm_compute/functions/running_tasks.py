"""The function behind StoppedTasks: no task of a family runs any more when its stack goes."""

import time
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.config import Config

from pm_core.custom_resources import LOG, Outcome, Request, answers

_AWS = Config(connect_timeout=5, read_timeout=30, retries={"max_attempts": 8, "mode": "standard"})
_LOOK_SECONDS = 2.0
_DESCRIBED_AT_ONCE = 100  # the most that DescribeTasks takes


class StillRunningError(TimeoutError):
    """A task was asked to stop, and did not within the time."""


def stop_all(ecs: Any, *, cluster: str, family: str, seconds: float, look_seconds: float = _LOOK_SECONDS) -> int:
    """Stop every task of a family and wait until all have stopped; a cluster that is gone has none.

    A task gets SIGTERM first, and so ends what it does in order.

    Returns:
        How many were asked to stop.

    Raises:
        StillRunningError: One still runs after ``seconds``.
    """
    deadline, asked = time.monotonic() + seconds, set[str]()
    while active := list(_active(ecs, cluster, family)):
        for task in active:
            if task["desiredStatus"] != "STOPPED" and task["taskArn"] not in asked:
                LOG.info("stopping %s", task["taskArn"])
                ecs.stop_task(cluster=cluster, task=task["taskArn"], reason="Its stack is being deleted")
                asked.add(task["taskArn"])
        if time.monotonic() >= deadline:
            arns = ", ".join(task["taskArn"] for task in active)
            raise StillRunningError(f"still running after {seconds:.0f} s: {arns}; delete the stack again")
        time.sleep(min(look_seconds, max(0.0, deadline - time.monotonic())))
    return len(asked)


def _active(ecs: Any, cluster: str, family: str) -> Iterator[dict[str, Any]]:
    """Tasks of the family that have not stopped, those that are on their way included."""
    arns: list[str] = []
    try:
        for wanted in ("RUNNING", "STOPPED"):
            pages = ecs.get_paginator("list_tasks").paginate(cluster=cluster, family=family, desiredStatus=wanted)
            arns.extend(arn for page in pages for arn in page["taskArns"])
    except ecs.exceptions.ClusterNotFoundException:
        return
    for start in range(0, len(arns), _DESCRIBED_AT_ONCE):
        described = ecs.describe_tasks(cluster=cluster, tasks=arns[start : start + _DESCRIBED_AT_ONCE])["tasks"]
        yield from (task for task in described if task["lastStatus"] != "STOPPED")


def work(request: Request) -> Outcome:
    """One request of CloudFormation. Properties: Cluster, Family."""
    cluster, family = request.properties["Cluster"], request.properties["Family"]
    if request.kind == "Delete":
        stopped = stop_all(boto3.client("ecs", config=_AWS), cluster=cluster, family=family, seconds=request.seconds)
        LOG.info("%d tasks of %s stopped", stopped, family)
    return Outcome(physical_id=f"tasks:{family}")


handle = answers(work)
