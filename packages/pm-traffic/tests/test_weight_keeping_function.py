"""The function behind KeptWeight; requests are checked against botocore's own model."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from pm_core.custom_resources import Request
from pm_traffic.functions import weight_keeping
from pm_traffic.functions.weight_keeping import WeightTimeoutError, identity, keep, remove, work

PARAMETER = "/pm/dev1/source/zone/weight-source"
STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/traffic/1"
DEPLOYED: dict[str, Any] = {
    "HostedZoneId": "Z1",
    "Name": "pay.acme.test.",
    "Type": "CNAME",
    "SetIdentifier": "source",
    "Weight": "100",
    "TTL": "10",
    "ResourceRecords": ["Lb-1.elb.amazonaws.com"],
    "HealthCheckId": "check-1",
}
PROPERTIES = {"Record": DEPLOYED, "WeightParameter": PARAMETER}


def asked(kind: str) -> Request:
    return Request(kind=kind, properties=PROPERTIES, stack_id=STACK, seconds=5)


OTHER = {"Name": "pay.acme.test.", "Type": "CNAME", "SetIdentifier": "target", "Weight": 60, "TTL": 10}
NEXT = {"Name": "www.acme.test.", "Type": "CNAME", "SetIdentifier": "source", "Weight": 1, "TTL": 10}


def live(weight: int, *, points_to: str = "lb-1.elb.amazonaws.com", ttl: int = 10) -> dict[str, Any]:
    return {
        "Name": "pay.acme.test.",
        "Type": "CNAME",
        "SetIdentifier": "source",
        "Weight": weight,
        "TTL": ttl,
        "ResourceRecords": [{"Value": points_to}],
        "HealthCheckId": "check-1",
    }


class Aws:
    """Answers in the order in which they are expected; any other request is an error."""

    def __init__(self) -> None:
        session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
        self.clients = {name: session.client(name) for name in ("route53", "ssm", "cloudformation")}
        self.stubs = {name: Stubber(client) for name, client in self.clients.items()}
        self.route53, self.ssm = self.clients["route53"], self.clients["ssm"]

    def lists(self, *records: Any) -> None:
        self.stubs["route53"].add_response(
            "list_resource_record_sets",
            {"ResourceRecordSets": list(records), "IsTruncated": False, "MaxItems": "300"},
            {"HostedZoneId": "Z1", "StartRecordName": "pay.acme.test.", "StartRecordType": "CNAME"},
        )

    def changes(self, action: str, record: Any) -> None:
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
        change = {"Id": "C1", "Status": "PENDING", "SubmittedAt": "2026-01-01T00:00:00Z"}
        self.stubs["route53"].add_response(
            "change_resource_record_sets", {"ChangeInfo": change}, {"HostedZoneId": "Z1", "ChangeBatch": batch}
        )

    def refuses(self, operation: str, code: str) -> None:
        self.stubs["route53"].add_client_error(operation, code)

    def says(self, weight: int) -> None:
        answer = {"Parameter": {"Name": PARAMETER, "Value": str(weight)}}
        self.stubs["ssm"].add_response("get_parameter", answer, {"Name": PARAMETER})

    def stack_is(self, status: str) -> None:
        stack = {"StackName": "traffic", "CreationTime": "2026-01-01T00:00:00Z", "StackStatus": status}
        self.stubs["cloudformation"].add_response("describe_stacks", {"Stacks": [stack]}, {"StackName": STACK})


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    aws = Aws()
    monkeypatch.setattr(weight_keeping, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(weight_keeping.boto3, "client", lambda service, **_: aws.clients[service])
    for stub in aws.stubs.values():
        stub.activate()
    yield aws
    for stub in aws.stubs.values():
        stub.assert_no_pending_responses()


def test_a_record_is_deleted_with_the_values_that_it_has_now(aws: Aws) -> None:
    aws.lists(live(5, ttl=30), OTHER, NEXT)
    aws.changes("DELETE", live(5, ttl=30))
    remove(aws.route53, DEPLOYED, seconds=5)


@pytest.mark.parametrize("zone", ["there", "gone"])
def test_a_record_that_is_gone_is_fine_with_or_without_its_zone(aws: Aws, zone: str) -> None:
    def look() -> None:
        if zone == "there":
            aws.lists(OTHER, NEXT)
        else:
            aws.refuses("list_resource_record_sets", "NoSuchHostedZone")

    look()
    remove(aws.route53, DEPLOYED, seconds=5)
    aws.says(5)
    look()
    keep(aws.route53, aws.ssm, DEPLOYED, PARAMETER, seconds=5)


def test_a_record_that_points_to_another_load_balancer_stays(aws: Aws, caplog: pytest.LogCaptureFixture) -> None:
    aws.lists(live(5, points_to="lb-2.elb.amazonaws.com"))
    remove(aws.route53, DEPLOYED, seconds=5)
    assert "lb-2.elb.amazonaws.com" in caplog.text


def test_a_record_that_is_shifted_before_its_deletion_is_looked_at_again(aws: Aws) -> None:
    aws.lists(live(5))
    aws.refuses("change_resource_record_sets", "InvalidChangeBatch")
    aws.lists(live(0))
    aws.changes("DELETE", live(0))
    remove(aws.route53, DEPLOYED, seconds=5)


def test_a_record_that_cannot_be_deleted_is_an_error_at_the_deadline(aws: Aws) -> None:
    aws.lists(live(5))
    aws.refuses("change_resource_record_sets", "InvalidChangeBatch")
    with pytest.raises(ClientError, match="InvalidChangeBatch"):
        remove(aws.route53, DEPLOYED, seconds=0)


def test_a_weight_becomes_what_ssm_says_and_nothing_else_changes(aws: Aws) -> None:
    aws.says(40)
    aws.lists(live(100, points_to="lb-2.elb.amazonaws.com", ttl=30), OTHER)
    aws.changes("UPSERT", live(40, points_to="lb-2.elb.amazonaws.com", ttl=30))
    aws.says(40)
    keep(aws.route53, aws.ssm, DEPLOYED, PARAMETER, seconds=5)


def test_a_weight_that_is_right_is_left_alone(aws: Aws) -> None:
    aws.says(40)
    aws.lists(live(40))
    aws.says(40)
    keep(aws.route53, aws.ssm, DEPLOYED, PARAMETER, seconds=5)


def test_a_shift_in_between_wins(aws: Aws) -> None:
    aws.says(40)
    aws.lists(live(100))
    aws.changes("UPSERT", live(40))  # after `pm shift` has written 20 to both
    aws.says(20)
    aws.lists(live(40))
    aws.changes("UPSERT", live(20))
    aws.says(20)
    keep(aws.route53, aws.ssm, DEPLOYED, PARAMETER, seconds=5)


def test_a_weight_that_never_rests_is_an_error_at_the_deadline(aws: Aws) -> None:
    aws.says(40)
    aws.lists(live(40))
    aws.says(20)
    with pytest.raises(WeightTimeoutError, match=f"{PARAMETER} still changes"):
        keep(aws.route53, aws.ssm, DEPLOYED, PARAMETER, seconds=-1)


@pytest.mark.parametrize("status", ["DELETE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"])
def test_the_record_goes_with_its_stack(aws: Aws, status: str) -> None:
    aws.stack_is(status)
    aws.lists(live(0))
    aws.changes("DELETE", live(0))
    work(asked("Delete"))


@pytest.mark.parametrize(
    "status", ["UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"]
)
def test_the_record_stays_when_this_is_what_an_update_left_over(aws: Aws, status: str) -> None:
    aws.stack_is(status)
    aws.says(0)
    aws.lists(live(100))
    aws.changes("UPSERT", live(0))
    aws.says(0)
    work(asked("Delete"))


def test_a_record_in_a_zone_that_the_stack_has_left_is_left_alone(aws: Aws) -> None:
    aws.stack_is("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
    aws.says(0)
    aws.refuses("list_resource_record_sets", "AccessDenied")
    assert work(asked("Delete")).physical_id == identity(DEPLOYED)


@pytest.mark.parametrize(
    ("status", "code"), [("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "Throttling"), ("DELETE_IN_PROGRESS", "AccessDenied")]
)
def test_any_other_refusal_is_an_error(aws: Aws, status: str, code: str) -> None:
    aws.stack_is(status)
    if status.startswith("UPDATE"):
        aws.says(0)
    aws.refuses("list_resource_record_sets", code)
    with pytest.raises(ClientError, match=code):
        work(asked("Delete"))


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_nothing_is_asked_or_changed_before_the_end(aws: Aws, request_type: str) -> None:
    assert work(asked(request_type)).physical_id == identity(DEPLOYED)


@pytest.mark.parametrize("name", sorted(DEPLOYED))
def test_whatever_touches_the_record_replaces_the_resource(name: str) -> None:
    assert identity(DEPLOYED | {name: "another"}) != identity(DEPLOYED)
    assert identity(dict(reversed(DEPLOYED.items()))) == identity(DEPLOYED)
