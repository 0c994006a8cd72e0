"""The function behind ``TaskStopper``: on delete, stop the tasks and wait; answer CloudFormation on every path."""

import json
import logging
import time
import urllib.request
from collections.abc import Sequence
from typing import Any, Protocol

import boto3

logger = logging.getLogger("pm.task_stopper")
logger.setLevel(logging.INFO)

# Statuses in which DMS refuses to delete a task. Source: AWS DMS user guide, "Task status".
BUSY = frozenset({"starting", "running", "stopping", "modifying", "testing", "moving"})
POLL_SECONDS = 2.0
# Kept back from the function's timeout, so that the answer still gets out.
ANSWER_SECONDS = 30.0
ANSWER_ATTEMPTS = 4


class Context(Protocol):
    """The part of the Lambda context that is used."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends this invocation."""


class StopTimeoutError(TimeoutError):
    """Tasks are still busy at the deadline; the message names them and their statuses."""


def handle(event: dict[str, Any], context: Context) -> None:
    """Entry point of the function.

    Args:
        event: A CloudFormation custom resource request; ``ResourceProperties.TaskArns`` lists the tasks.
        context: The Lambda context.
    """
    logger.info("%s %s", event["RequestType"], event["LogicalResourceId"])
    try:
        if event["RequestType"] == "Delete":
            stop_tasks(
                boto3.client("dms"),
                event["ResourceProperties"]["TaskArns"],
                seconds=context.get_remaining_time_in_millis() / 1000 - ANSWER_SECONDS,
                poll_seconds=POLL_SECONDS,
            )
    # Whatever it is: without an answer CloudFormation waits until its own timeout.
    except Exception as error:
        logger.exception("tasks could not be stopped")
        answer(event, status="FAILED", reason=f"{type(error).__name__}: {error}")
    else:
        answer(event, status="SUCCESS", reason="")


def stop_tasks(dms: Any, task_arns: Sequence[str], *, seconds: float, poll_seconds: float) -> None:
    """Stop every running task and wait until none is busy; tasks that are gone are fine.

    Args:
        dms: A boto3 DMS client.
        task_arns: The tasks.
        seconds: Deadline.
        poll_seconds: Pause between looks.

    Raises:
        StopTimeoutError: A task is still busy at the deadline.
    """
    deadline = time.monotonic() + seconds
    while busy := _busy(dms, task_arns):
        for arn, status in busy.items():
            if status == "running":
                _stop(dms, arn)
        if time.monotonic() + poll_seconds > deadline:
            raise StopTimeoutError(
                "still busy: " + ", ".join(f"{arn} is {status}" for arn, status in sorted(busy.items()))
            )
        time.sleep(poll_seconds)


def _busy(dms: Any, task_arns: Sequence[str]) -> dict[str, str]:
    """Status by ARN of the tasks that cannot be deleted now."""
    busy: dict[str, str] = {}
    for arn in task_arns:
        try:
            found = dms.describe_replication_tasks(
                Filters=[{"Name": "replication-task-arn", "Values": [arn]}], WithoutSettings=True
            )
        except dms.exceptions.ResourceNotFoundFault:
            continue
        for task in found["ReplicationTasks"]:
            if task["Status"] in BUSY:
                busy[arn] = task["Status"]
    return busy


def _stop(dms: Any, arn: str) -> None:
    logger.info("stopping %s", arn)
    try:
        dms.stop_replication_task(ReplicationTaskArn=arn)
    except (dms.exceptions.InvalidResourceStateFault, dms.exceptions.ResourceNotFoundFault) as error:
        # It changed since we looked; the next look tells.
        logger.info("not stopped: %s", error)


def answer(event: dict[str, Any], *, status: str, reason: str) -> None:
    """Tell CloudFormation how the request ended.

    Raises:
        OSError: CloudFormation's URL did not take the answer in several attempts.
    """
    body = json.dumps(
        {
            "Status": status,
            "Reason": reason[:1024],
            # The same for the life of the resource: another id would make CloudFormation delete the "old" one.
            "PhysicalResourceId": event.get("PhysicalResourceId") or event["LogicalResourceId"],
            "StackId": event["StackId"],
            "RequestId": event["RequestId"],
            "LogicalResourceId": event["LogicalResourceId"],
        }
    ).encode()
    for attempt in range(1, ANSWER_ATTEMPTS + 1):
        request = urllib.request.Request(  # noqa: S310 - the URL comes from CloudFormation
            event["ResponseURL"], data=body, method="PUT", headers={"Content-Type": ""}
        )
        try:
            with urllib.request.urlopen(request, timeout=5):  # noqa: S310 - as above
                return
        except OSError as error:
            logger.warning("answer %d of %d not taken: %s", attempt, ANSWER_ATTEMPTS, error)
            if attempt == ANSWER_ATTEMPTS:
                raise
        time.sleep(attempt)
