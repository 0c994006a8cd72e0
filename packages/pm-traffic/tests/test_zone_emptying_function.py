"""The function behind EmptiedZone; requests are checked against botocore's own model."""

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pm_core.custom_resources import Request
from pm_traffic.functions import zone_emptying
from pm_traffic.functions.zone_emptying import ZoneNotEmptyError, empty

STACK = "arn:aws:cloudformation:us-east-1:111122223333:stack/zone/1"
ZONE = {"HostedZone": {"Id": "Z1", "Name": "acme.test.", "CallerReference": "1"}}
OWN = [{"Name": "acme.test.", "Type": kind, "TTL": 900, "ResourceRecords": [{"Value": "x"}]} for kind in ("NS", "SOA")]
LEFT_BY_ACM = {"Name": "_1.pay.acme.test.", "Type": "CNAME", "TTL": 300, "ResourceRecords": [{"Value": "_2.aws."}]}
DELEGATED = {"Name": "eu.acme.test.", "Type": "NS", "TTL": 300, "ResourceRecords": [{"Value": "ns.test."}]}


@pytest.fixture
def route53() -> Any:
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
    return session.client("route53")


def listing(stub: Stubber, *records: Any) -> None:
    stub.add_response("get_hosted_zone", ZONE)
    answer = {"ResourceRecordSets": [*OWN, *records], "IsTruncated": False, "MaxItems": "300"}
    stub.add_response("list_resource_record_sets", answer)


def test_every_record_but_the_zone_s_own_is_removed(route53: Any) -> None:
    with Stubber(route53) as stub:
        listing(stub, LEFT_BY_ACM, DELEGATED)
        changes = [{"Action": "DELETE", "ResourceRecordSet": record} for record in (LEFT_BY_ACM, DELEGATED)]
        change = {"Id": "C1", "Status": "PENDING", "SubmittedAt": "2026-01-01T00:00:00Z"}
        stub.add_response(
            "change_resource_record_sets",
            {"ChangeInfo": change},
            {"HostedZoneId": "Z1", "ChangeBatch": {"Changes": changes}},
        )
        listing(stub)
        assert empty(route53, "Z1", seconds=10) == 2
        stub.assert_no_pending_responses()


def test_a_zone_that_is_gone_is_empty(route53: Any) -> None:
    with Stubber(route53) as stub:
        stub.add_client_error("get_hosted_zone", "NoSuchHostedZone")
        assert empty(route53, "Z1", seconds=10) == 0


def test_running_out_of_time_says_what_is_left(route53: Any) -> None:
    with Stubber(route53) as stub:
        listing(stub, LEFT_BY_ACM)
        with pytest.raises(ZoneNotEmptyError, match="1 records of Z1 are left"):
            empty(route53, "Z1", seconds=-1)


@pytest.mark.parametrize(
    ("request_type", "status", "emptied"),
    [
        ("Create", "CREATE_IN_PROGRESS", False),
        ("Update", "UPDATE_IN_PROGRESS", False),
        ("Delete", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", False),
        ("Delete", "UPDATE_ROLLBACK_IN_PROGRESS", False),
        ("Delete", "ROLLBACK_IN_PROGRESS", True),
        ("Delete", "DELETE_IN_PROGRESS", True),
    ],
)
def test_records_go_with_their_stack_only(
    route53: Any, request_type: str, status: str, emptied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloudformation = boto3.client(
        "cloudformation", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    clients = {"route53": route53, "cloudformation": cloudformation}
    monkeypatch.setattr(zone_emptying.boto3, "client", lambda name, **_: clients[name])
    with Stubber(route53) as records, Stubber(cloudformation) as stacks:
        if request_type == "Delete":
            stack = {"StackName": "zone", "CreationTime": "2026-01-01T00:00:00Z", "StackStatus": status}
            stacks.add_response("describe_stacks", {"Stacks": [stack]}, {"StackName": STACK})
        if emptied:
            listing(records)
        outcome = zone_emptying.work(
            Request(kind=request_type, properties={"HostedZoneId": "Z1"}, stack_id=STACK, seconds=10)
        )
        records.assert_no_pending_responses()
        stacks.assert_no_pending_responses()
    assert outcome.physical_id == "emptied:Z1"
