from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from pm_traffic import PaymentZone, PaymentZoneProps, ZonePropsError

HERE: dict[str, Any] = {"environment": "source", "suffix": "dev1"}


@pytest.fixture(scope="module")
def zone(stack: cdk.Stack) -> PaymentZone:
    props = PaymentZoneProps(**HERE, zone_name="payments.acme.test", record_name="pay.payments.acme.test")
    return PaymentZone(stack, "Zone", props=props)


def test_a_public_zone_is_made_and_tells_where_to_delegate(stack: cdk.Stack, zone: PaymentZone) -> None:
    template = Template.from_stack(stack)
    template.has_resource_properties("AWS::Route53::HostedZone", {"Name": "payments.acme.test."})
    assert set(template.find_resources("AWS::Route53::HostedZone")) == {"Zone2A4024A4"}
    assert zone.name_servers is not None


def test_all_traffic_starts_at_the_source(zone: PaymentZone) -> None:
    assert (zone.contract.weight_source, zone.contract.weight_target) == ("100", "0")


def test_an_existing_zone_is_used_and_never_made_or_deleted() -> None:
    stack = cdk.Stack(cdk.App(), "Imported")
    props = PaymentZoneProps(
        **HERE, zone_name="payments.acme.test", record_name="pay.payments.acme.test", hosted_zone_id="Z123"
    )
    zone = PaymentZone(stack, "Zone", props=props)
    Template.from_stack(stack).resource_count_is("AWS::Route53::HostedZone", 0)
    assert zone.contract.hosted_zone_id == "Z123"
    assert zone.name_servers is None


def test_a_record_outside_of_the_zone_is_refused() -> None:
    with pytest.raises(ZonePropsError, match=r"must end with \.payments\.acme\.test"):
        PaymentZoneProps(**HERE, zone_name="payments.acme.test", record_name="pay.other.test")


def test_a_zone_of_ours_is_emptied_before_it_is_deleted_and_an_imported_one_never(
    stack: cdk.Stack, zone: PaymentZone
) -> None:
    assert zone.name_servers is not None
    (emptied,) = Template.from_stack(stack).find_resources("Custom::EmptiedZone").values()
    assert emptied["Properties"]["HostedZoneId"] == {"Ref": "Zone2A4024A4"}
    other = cdk.Stack(cdk.App(), "Imported", env=cdk.Environment(region="us-east-1"))
    props = PaymentZoneProps(
        **HERE, zone_name="payments.acme.test", record_name="pay.payments.acme.test", hosted_zone_id="Z123"
    )
    PaymentZone(other, "Zone", props=props)
    Template.from_stack(other).resource_count_is("Custom::EmptiedZone", 0)
