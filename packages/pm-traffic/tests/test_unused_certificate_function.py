"""The function behind UnusedCertificate; requests are checked against botocore's own model."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pm_core.custom_resources import Request
from pm_traffic.functions import unused_certificate
from pm_traffic.functions.unused_certificate import StillInUseError, wait_until_unused

ARN = "arn:aws:acm:us-east-1:111122223333:certificate/00000000-0000-0000-0000-000000000003"
STACK = "arn:aws:cloudformation:us-east-1:111122223333:stack/certificate/1"
BALANCERS = [
    f"arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/app/{side}/1" for side in ("source", "target")
]


def client(service: str) -> Any:
    return boto3.client(service, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")


@pytest.fixture
def acm() -> Any:
    return client("acm")


@pytest.fixture
def answers(acm: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    monkeypatch.setattr(unused_certificate, "LOOK_SECONDS", 0.01)
    with Stubber(acm) as stub:
        yield stub
        stub.assert_no_pending_responses()


def used_by(answers: Stubber, *users: str) -> None:
    certificate = {"CertificateArn": ARN, "InUseBy": list(users)}
    answers.add_response("describe_certificate", {"Certificate": certificate}, {"CertificateArn": ARN})


def test_a_certificate_is_waited_for_until_its_last_user_is_forgotten(acm: Any, answers: Stubber) -> None:
    used_by(answers, *BALANCERS)
    used_by(answers, BALANCERS[1])
    used_by(answers)
    wait_until_unused(acm, ARN, seconds=10)


def test_a_certificate_that_is_gone_is_not_in_use(acm: Any, answers: Stubber) -> None:
    answers.add_client_error("describe_certificate", "ResourceNotFoundException")
    wait_until_unused(acm, ARN, seconds=10)


def test_whoever_still_uses_it_at_the_deadline_is_named(acm: Any, answers: Stubber) -> None:
    used_by(answers, *BALANCERS)
    with pytest.raises(StillInUseError, match=f"{BALANCERS[0]}, {BALANCERS[1]} after 0 s"):
        wait_until_unused(acm, ARN, seconds=0)


@pytest.mark.parametrize(
    ("request_type", "status", "waits"),
    [
        ("Create", "CREATE_IN_PROGRESS", False),
        ("Update", "UPDATE_IN_PROGRESS", False),
        ("Delete", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", False),
        ("Delete", "ROLLBACK_IN_PROGRESS", True),
        ("Delete", "DELETE_IN_PROGRESS", True),
    ],
)
def test_only_a_stack_that_goes_waits(
    acm: Any, answers: Stubber, request_type: str, status: str, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloudformation = client("cloudformation")
    clients = {"acm": acm, "cloudformation": cloudformation}
    monkeypatch.setattr(unused_certificate.boto3, "client", lambda name, **_: clients[name])
    with Stubber(cloudformation) as stacks:
        if request_type == "Delete":
            stack = {"StackName": "certificate", "CreationTime": "2026-01-01T00:00:00Z", "StackStatus": status}
            stacks.add_response("describe_stacks", {"Stacks": [stack]}, {"StackName": STACK})
        if waits:
            used_by(answers)
        outcome = unused_certificate.work(
            Request(kind=request_type, properties={"CertificateArn": ARN}, stack_id=STACK, seconds=10)
        )
        stacks.assert_no_pending_responses()
    assert outcome.physical_id == f"unused:{ARN}"
