"""What is known of an account, from CloudFormation's answers."""

from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pm_delivery.account import Account

REGION = "us-east-1"


@pytest.fixture
def cloudformation(monkeypatch: pytest.MonkeyPatch) -> Stubber:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    client: Any = boto3.client("cloudformation", region_name=REGION)
    monkeypatch.setattr(Account, "_client", lambda *_: client)
    stubber = Stubber(client)
    stubber.activate()
    return stubber


@pytest.mark.parametrize(
    ("status", "deployed"),
    [
        ("CREATE_COMPLETE", True),
        ("UPDATE_COMPLETE", True),
        ("UPDATE_ROLLBACK_FAILED", True),
        ("CREATE_FAILED", False),
        ("CREATE_IN_PROGRESS", False),
        ("REVIEW_IN_PROGRESS", False),
        ("ROLLBACK_COMPLETE", False),
        ("DELETE_FAILED", False),
    ],
)
def test_a_stack_whose_creation_failed_exists_and_is_not_deployed(
    cloudformation: Stubber, status: str, deployed: bool
) -> None:
    stack = {"StackName": "pm-audit", "CreationTime": datetime.now(UTC), "StackStatus": status}
    for _ in range(2):
        cloudformation.add_response("describe_stacks", {"Stacks": [stack]}, {"StackName": "pm-audit"})
    account = Account(region=REGION)
    assert account.exists("pm-audit", region=REGION)
    assert account.deployed("pm-audit", region=REGION) is deployed


def test_a_stack_that_is_not_there_is_neither(cloudformation: Stubber) -> None:
    for _ in range(2):
        cloudformation.add_client_error("describe_stacks", "ValidationError", "does not exist")
    account = Account(region=REGION)
    assert not account.exists("pm-audit", region=REGION)
    assert not account.deployed("pm-audit", region=REGION)
