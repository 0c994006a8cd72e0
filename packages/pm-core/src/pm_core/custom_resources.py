"""CloudFormation's custom resource protocol: every request is answered, whatever happens.

Runs inside Lambda: this module stands alone, with the standard library only.

Source: AWS CloudFormation user guide, "Custom resource reference".
"""

import json
import logging
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

LOG = logging.getLogger("pm")
LOG.setLevel(logging.INFO)

_ATTEMPTS = 4
_ATTEMPT_SECONDS = 10
# Time kept back for the answer before Lambda ends the function.
_RESERVE_SECONDS = 30.0
# So much earlier than the watchdog the work should end by itself: it knows what it waited for.
_MARGIN_SECONDS = 5.0
_REASON_CHARACTERS = 800
_GOING = ("DELETE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS")


class Context(Protocol):
    """The part of Lambda's context that is used here."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the function."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A success.

    Attributes:
        physical_id: Identity of the resource; a change of it makes CloudFormation delete the old one.
        data: Attributes that the template can read; never a secret.
    """

    physical_id: str
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What CloudFormation asks for.

    Attributes:
        kind: Create, Update or Delete.
        properties: The resource's properties.
        old_properties: On an Update those before it.
        physical_id: Identity of the resource; empty on a Create.
        stack_id: ARN of its stack.
        seconds: How long the work should take at most.
    """

    kind: str
    properties: Mapping[str, Any]
    old_properties: Mapping[str, Any] = field(default_factory=dict)
    physical_id: str = ""
    stack_id: str
    seconds: float


Work = Callable[[Request], Outcome]
Handler = Callable[[Mapping[str, Any], Context], None]


def stack_status(cloudformation: Any, stack_id: str) -> str:
    """The status of a stack, for example ``UPDATE_ROLLBACK_IN_PROGRESS``.

    Args:
        cloudformation: A boto3 client; its caller needs ``cloudformation:DescribeStacks`` on the stack.
        stack_id: The stack's ARN.
    """
    (stack,) = cloudformation.describe_stacks(StackName=stack_id)["Stacks"]
    return str(stack["StackStatus"])


def goes(cloudformation: Any, stack_id: str) -> bool:
    """Whether the stack is being deleted, or its failed creation rolled back.

    In any other state a resource that is deleted was taken out of the template, or replaced, and what it stands for may
    stay.
    """
    return stack_status(cloudformation, stack_id) in _GOING


def answers(work: Work) -> Handler:
    """A Lambda handler that runs ``work`` and reports how it went.

    Anything that it raises becomes a failure with the error's text as reason; running out of time does, too.
    """

    def handle(event: Mapping[str, Any], context: Context) -> None:
        seconds = max(1.0, context.get_remaining_time_in_millis() / 1000 - _RESERVE_SECONDS)
        answer = _Answer(event)
        watchdog = threading.Timer(seconds, answer.fail, [f"no result within {seconds:.0f} s"])
        watchdog.daemon = True
        watchdog.start()
        LOG.info("%s of %s", event["RequestType"], event["LogicalResourceId"])
        try:
            outcome = work(
                Request(
                    kind=event["RequestType"],
                    properties=event["ResourceProperties"],
                    old_properties=event.get("OldResourceProperties", {}),
                    physical_id=event.get("PhysicalResourceId", ""),
                    stack_id=event["StackId"],
                    seconds=max(seconds / 2, seconds - _MARGIN_SECONDS),
                )
            )
        except Exception as error:
            LOG.exception("%s of %s failed", event["RequestType"], event["LogicalResourceId"])
            answer.fail(f"{type(error).__name__}: {error}")
        else:
            answer.succeed(outcome)
        finally:
            watchdog.cancel()

    return handle


class _Answer:
    """One answer to one request: the first wins."""

    def __init__(self, event: Mapping[str, Any]) -> None:
        self._event = event
        self._once = threading.Lock()

    def succeed(self, outcome: Outcome) -> None:
        self._send(Status="SUCCESS", PhysicalResourceId=outcome.physical_id, Data=dict(outcome.data))

    def fail(self, reason: str) -> None:
        # A failed creation is rolled back with a Delete of this id.
        physical_id = self._event.get("PhysicalResourceId", f"{self._event['LogicalResourceId']}-failed")
        self._send(Status="FAILED", Reason=reason[:_REASON_CHARACTERS], PhysicalResourceId=physical_id)

    def _send(self, **answer: Any) -> None:
        if not self._once.acquire(blocking=False):
            return
        identity = {key: self._event[key] for key in ("StackId", "RequestId", "LogicalResourceId")}
        request = urllib.request.Request(  # noqa: S310 - the URL comes from CloudFormation, and is https
            self._event["ResponseURL"],
            data=json.dumps(identity | answer).encode(),
            method="PUT",
            headers={"Content-Type": ""},  # the URL's signature covers an empty one
        )
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                urllib.request.urlopen(request, timeout=_ATTEMPT_SECONDS).close()  # noqa: S310 - as above
            except OSError as error:
                # Without its address: whoever holds that can answer in our name.
                LOG.warning("answer %d of %d failed: %s", attempt, _ATTEMPTS, type(error).__name__)
                if attempt == _ATTEMPTS:
                    raise
                time.sleep(attempt)
            else:
                LOG.info("answered %s", answer["Status"])
                return
