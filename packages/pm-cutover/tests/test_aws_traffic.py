"""Weights in Route 53 and SSM; the requests are checked against botocore's own model."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pm_core.contracts import TrafficContract, ZoneContract
from pm_cutover.aws.session import AwsSession
from pm_cutover.aws.traffic import Traffic, Weights
from pm_cutover.errors import RefusedError

ZONE = ZoneContract(
    hosted_zone_id="Z1", zone_name="shop.test", record_name="pay.shop.test", weight_source="100", weight_target="0"
)


def record(side: str, weight: int) -> dict[str, Any]:
    return {
        "Name": "pay.shop.test.",
        "Type": "CNAME",
        "SetIdentifier": side,
        "Weight": weight,
        "TTL": 10,
        "HealthCheckId": f"check-{side}",
        "ResourceRecords": [{"Value": f"{side}.elb.test"}],
    }


class Stubs:
    def __init__(self) -> None:
        aws = AwsSession(
            session=boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
        )
        self.route53, self.ssm = Stubber(aws.client("route53")), Stubber(aws.client("ssm"))
        sides = [
            TrafficContract(record_name="pay.shop.test", set_identifier=side, health_check_id=f"check-{side}")
            for side in ("source", "target")
        ]
        self.traffic = Traffic(aws=aws, suffix="blue", zone=ZONE, source=sides[0], target=sides[1])

    def records(self, *found: dict[str, Any]) -> None:
        more = [{"Name": "pay.shop.test.", "Type": "TXT", "TTL": 5, "ResourceRecords": [{"Value": "x"}]}]
        self.route53.add_response(
            "list_resource_record_sets",
            {"ResourceRecordSets": [*found, *more], "IsTruncated": False, "MaxItems": "300"},
        )

    def parameters(self, source: str, target: str) -> None:
        names = [f"/pm/blue/source/zone/weight-{side}" for side in ("source", "target")]
        values = [{"Name": name, "Value": value} for name, value in zip(names, (source, target), strict=True)]
        self.ssm.add_response("get_parameters", {"Parameters": values}, {"Names": names})


@pytest.fixture
def stubs() -> Iterator[Stubs]:
    stubs = Stubs()
    with stubs.route53, stubs.ssm:
        yield stubs
    stubs.route53.assert_no_pending_responses()
    stubs.ssm.assert_no_pending_responses()


def test_both_records_change_in_one_batch_and_keep_their_other_fields(stubs: Stubs) -> None:
    stubs.parameters("100", "0")
    for side, weight in (("source", "75"), ("target", "25")):
        stubs.ssm.add_response(
            "put_parameter",
            {},
            {"Name": f"/pm/blue/source/zone/weight-{side}", "Value": weight, "Type": "String", "Overwrite": True},
        )
    stubs.records(record("source", 100), record("target", 0))
    changes = [
        {"Action": "UPSERT", "ResourceRecordSet": record(side, weight)}
        for side, weight in (("source", 75), ("target", 25))
    ]
    info = {"Id": "C1", "Status": "PENDING", "SubmittedAt": "2026-01-01"}
    stubs.route53.add_response(
        "change_resource_record_sets",
        {"ChangeInfo": info},
        {"HostedZoneId": "Z1", "ChangeBatch": {"Comment": "pm shift 75/25", "Changes": changes}},
    )
    stubs.route53.add_response("get_change", {"ChangeInfo": {**info, "Status": "INSYNC"}}, {"Id": "C1"})
    assert stubs.traffic.set(Weights.of_target(25))


def test_weights_that_are_right_already_are_not_written(stubs: Stubs) -> None:
    stubs.parameters("75", "25")
    stubs.records(record("source", 75), record("target", 25))
    assert not stubs.traffic.set(Weights.of_target(25))


def test_a_missing_record_names_the_stack(stubs: Stubs) -> None:
    stubs.records(record("source", 100))
    with pytest.raises(RefusedError, match="deploy the target's traffic stack"):
        stubs.traffic.recorded()


def test_share_of_the_target_counts_what_both_weigh() -> None:
    assert Weights(source=10, target=30).target_percent == 75
    assert Weights(source=0, target=0).target_percent == 0
