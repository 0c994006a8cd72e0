"""The custom resource protocol, against a real HTTP server."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from pm_core import custom_resources
from pm_core.custom_resources import Outcome, Request, answers


class CloudFormation:
    """Where answers are sent to; keeps them, and fails the first ``refusals`` of them."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        self.content_types: list[str | None] = []
        self.refusals = 0
        outer = self

        class Receiver(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.refusals:
                    outer.refusals -= 1
                    self.send_error(503)
                    return
                outer.content_types.append(self.headers["Content-Type"])
                outer.answers.append(json.loads(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Receiver)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def event(self, request_type: str, **extra: str) -> dict[str, Any]:
        return {
            "RequestType": request_type,
            "ResponseURL": f"http://127.0.0.1:{self._server.server_port}/signed?token=hidden",
            "StackId": "stack",
            "RequestId": "request",
            "LogicalResourceId": "Roles",
            "ResourceProperties": {"Name": "x"},
        } | extra

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Context:
    def __init__(self, seconds: float = 300) -> None:
        self._end = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        return int((self._end - time.monotonic()) * 1000)


@pytest.fixture
def cloudformation() -> Iterator[CloudFormation]:
    receiver = CloudFormation()
    yield receiver
    receiver.close()


def succeed(request: Request) -> Outcome:
    return Outcome(physical_id=f"id:{request.properties['Name']}", data={"Did": request.kind})


def refuse(_: Request) -> Outcome:
    raise LookupError("no such database")


def test_success_is_answered_with_identity_and_data(cloudformation: CloudFormation) -> None:
    answers(succeed)(cloudformation.event("Create"), Context())
    assert cloudformation.answers == [
        {
            "Status": "SUCCESS",
            "PhysicalResourceId": "id:x",
            "Data": {"Did": "Create"},
            "StackId": "stack",
            "RequestId": "request",
            "LogicalResourceId": "Roles",
        }
    ]
    assert cloudformation.content_types == [""]


def test_work_gets_the_request_as_cloudformation_sends_it(cloudformation: CloudFormation) -> None:
    asked: list[Request] = []

    def work(request: Request) -> Outcome:
        asked.append(request)
        return Outcome(physical_id="id:y")

    answers(work)(cloudformation.event("Create"), Context())
    update = cloudformation.event("Update", PhysicalResourceId="id:x") | {"OldResourceProperties": {"Name": "w"}}
    answers(work)(update, Context(seconds=60))
    created, updated = asked
    assert (created.kind, created.properties, created.old_properties, created.physical_id) == (
        "Create",
        {"Name": "x"},
        {},
        "",
    )
    assert (updated.kind, updated.old_properties, updated.physical_id) == ("Update", {"Name": "w"}, "id:x")
    assert updated.stack_id == "stack"
    assert 20 < updated.seconds < 30  # less than the watchdog, which leaves time for the answer


def test_failure_is_answered_with_its_reason(cloudformation: CloudFormation) -> None:
    answers(refuse)(cloudformation.event("Update", PhysicalResourceId="id:x"), Context())
    (answered,) = cloudformation.answers
    assert answered["Status"] == "FAILED"
    assert answered["Reason"] == "LookupError: no such database"
    assert answered["PhysicalResourceId"] == "id:x"


def test_a_failed_creation_has_an_identity_to_roll_back(cloudformation: CloudFormation) -> None:
    answers(refuse)(cloudformation.event("Create"), Context())
    assert cloudformation.answers[0]["PhysicalResourceId"] == "Roles-failed"


def test_running_out_of_time_is_answered_once(cloudformation: CloudFormation) -> None:
    def slow(_: Request) -> Outcome:
        deadline = time.monotonic() + 5
        while not cloudformation.answers and time.monotonic() < deadline:
            time.sleep(0.02)
        return Outcome(physical_id="late")

    answers(slow)(cloudformation.event("Create"), Context(seconds=1))
    assert [answered["Status"] for answered in cloudformation.answers] == ["FAILED"]
    assert "no result within" in cloudformation.answers[0]["Reason"]


def test_work_that_waits_as_long_as_it_should_says_what_it_waited_for(cloudformation: CloudFormation) -> None:
    def waits(request: Request) -> Outcome:
        time.sleep(request.seconds)
        raise TimeoutError("the load balancer is still there")

    answers(waits)(cloudformation.event("Delete"), Context(seconds=31))
    assert [answered["Reason"] for answered in cloudformation.answers] == [
        "TimeoutError: the load balancer is still there"
    ]


def test_an_answer_that_does_not_arrive_is_sent_again(
    cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(custom_resources.time, "sleep", lambda _: None)
    cloudformation.refusals = 2
    answers(succeed)(cloudformation.event("Delete"), Context())
    assert [answered["Status"] for answered in cloudformation.answers] == ["SUCCESS"]


def test_the_signed_address_is_not_logged(
    cloudformation: CloudFormation, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(custom_resources.time, "sleep", lambda _: None)
    cloudformation.refusals = 1
    answers(refuse)(cloudformation.event("Create"), Context())
    assert "answer 1 of" in caplog.text
    assert "hidden" not in caplog.text
