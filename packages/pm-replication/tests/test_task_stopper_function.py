"""The custom resource's function, between a DMS that changes state as DMS does and a real HTTP server."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from pm_replication.task_stopper_function import handler

LOAD, FORWARD = "arn:aws:dms:us-east-1:111122223333:task:LOAD", "arn:aws:dms:us-east-1:111122223333:task:FORWARD"


class ResourceNotFoundFault(Exception):  # noqa: N818 - boto3's name
    pass


class InvalidResourceStateFault(Exception):  # noqa: N818 - boto3's name
    pass


@dataclass
class Dms:
    """Tasks by ARN with the statuses that they go through, one per look; the last one stays."""

    statuses: dict[str, list[str]]
    stopped: list[str] = field(default_factory=list)

    class exceptions:  # noqa: N801 - boto3's name
        ResourceNotFoundFault = ResourceNotFoundFault
        InvalidResourceStateFault = InvalidResourceStateFault

    def describe_replication_tasks(self, *, Filters: Any, **_: Any) -> Any:  # noqa: N803 - boto3's name
        (arn,) = Filters[0]["Values"]
        if arn not in self.statuses:
            raise ResourceNotFoundFault(arn)
        statuses = self.statuses[arn]
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        return {"ReplicationTasks": [{"ReplicationTaskArn": arn, "Status": status}]}

    def stop_replication_task(self, *, ReplicationTaskArn: str) -> None:  # noqa: N803 - boto3's name
        self.stopped.append(ReplicationTaskArn)
        if self.statuses[ReplicationTaskArn][0] != "stopping":
            raise InvalidResourceStateFault(ReplicationTaskArn)


def test_a_running_task_is_stopped_and_waited_for() -> None:
    dms = Dms({LOAD: ["running", "stopping", "stopping", "stopped"]})
    handler.stop_tasks(dms, [LOAD], seconds=5, poll_seconds=0)
    assert dms.stopped == [LOAD]
    assert dms.statuses[LOAD] == ["stopped"]


@pytest.mark.parametrize("status", ["ready", "stopped", "failed", "creating"])
def test_a_task_that_does_not_run_is_left_alone(status: str) -> None:
    dms = Dms({LOAD: [status]})
    handler.stop_tasks(dms, [LOAD], seconds=5, poll_seconds=0)
    assert dms.stopped == []


def test_a_task_that_is_gone_is_fine() -> None:
    handler.stop_tasks(Dms({}), [LOAD, FORWARD], seconds=5, poll_seconds=0)


def test_a_starting_task_is_stopped_once_it_runs() -> None:
    dms = Dms({LOAD: ["starting", "starting", "running", "stopping", "stopped"]})
    handler.stop_tasks(dms, [LOAD], seconds=5, poll_seconds=0)
    assert dms.stopped == [LOAD]


def test_a_task_that_ends_by_itself_meanwhile_is_fine() -> None:
    dms = Dms({LOAD: ["running", "failed"]})
    handler.stop_tasks(dms, [LOAD], seconds=5, poll_seconds=0)
    assert dms.stopped == [LOAD]


def test_a_task_that_does_not_stop_is_named_at_the_deadline() -> None:
    dms = Dms({LOAD: ["running", "stopping"], FORWARD: ["stopped"]})
    with pytest.raises(handler.StopTimeoutError, match=f"{LOAD} is stopping"):
        handler.stop_tasks(dms, [LOAD, FORWARD], seconds=0.05, poll_seconds=0.01)


@dataclass
class CloudFormation:
    """Takes answers; the first ``refusals`` of them get a 503."""

    url: str = ""
    refusals: int = 0
    answers: list[dict[str, Any]] = field(default_factory=list)

    def event(self, request_type: str, **more: Any) -> dict[str, Any]:
        return {
            "RequestType": request_type,
            "ResponseURL": self.url,
            "StackId": "arn:aws:cloudformation:us-east-1:111122223333:stack/pm/1",
            "RequestId": "1",
            "LogicalResourceId": "TaskStopper",
            "ResourceProperties": {"TaskArns": [LOAD]},
            **more,
        }


@pytest.fixture
def cloudformation() -> Iterator[CloudFormation]:
    state = CloudFormation()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if state.refusals:
                state.refusals -= 1
                self.send_error(503)
                return
            state.answers.append(json.loads(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/answer"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def dms_client(monkeypatch: pytest.MonkeyPatch, dms: object) -> None:
    monkeypatch.setattr(handler.boto3, "client", lambda service: dms if service == "dms" else None)


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_nothing_is_stopped_before_the_delete(
    monkeypatch: pytest.MonkeyPatch, cloudformation: CloudFormation, request_type: str
) -> None:
    dms = Dms({LOAD: ["running"]})
    dms_client(monkeypatch, dms)
    handler.handle(cloudformation.event(request_type), Context())
    (answer,) = cloudformation.answers
    assert answer["Status"] == "SUCCESS"
    assert dms.stopped == []


def test_delete_stops_the_tasks_and_succeeds(monkeypatch: pytest.MonkeyPatch, cloudformation: CloudFormation) -> None:
    monkeypatch.setattr(handler, "POLL_SECONDS", 0)
    dms = Dms({LOAD: ["running", "stopping", "stopped"]})
    dms_client(monkeypatch, dms)
    handler.handle(cloudformation.event("Delete", PhysicalResourceId="stopper-1"), Context())
    (answer,) = cloudformation.answers
    assert answer["Status"] == "SUCCESS"
    assert answer["PhysicalResourceId"] == "stopper-1"
    assert answer["RequestId"] == "1"
    assert dms.stopped == [LOAD]


def test_any_failure_is_answered_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, cloudformation: CloudFormation
) -> None:
    dms_client(monkeypatch, object())
    handler.handle(cloudformation.event("Delete"), Context())
    (answer,) = cloudformation.answers
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("AttributeError: ")


def test_an_answer_that_is_not_taken_is_sent_again(
    monkeypatch: pytest.MonkeyPatch, cloudformation: CloudFormation
) -> None:
    monkeypatch.setattr(handler.time, "sleep", lambda _: None)
    cloudformation.refusals = 2
    handler.handle(cloudformation.event("Create"), Context())
    assert [answer["Status"] for answer in cloudformation.answers] == ["SUCCESS"]
