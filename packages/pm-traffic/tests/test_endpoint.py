from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ssm as ssm
from aws_cdk.assertions import Template

from pm_traffic import WeightedEndpoint, WeightedEndpointProps

PARAMETER = "/pm/dev1/source/zone/weight-source"


@pytest.fixture(scope="module")
def template(stack: cdk.Stack) -> Template:
    props = WeightedEndpointProps(
        environment="source",
        suffix="dev1",
        name="endpoint-health-source-dev1",
        hosted_zone_id="Z123",
        record_name="pay.payments.acme.test",
        load_balancer_dns_name="lb-1.us-east-1.elb.amazonaws.com",
        weight=ssm.StringParameter.value_for_string_parameter(stack, PARAMETER),
        weight_parameter=PARAMETER,
        ttl_seconds=10,
    )
    WeightedEndpoint(stack, "Endpoint", props=props)
    return Template.from_stack(stack)


def test_record_is_a_weighted_cname_with_our_ttl(template: Template) -> None:
    template.has_resource_properties(
        "AWS::Route53::RecordSet",
        {
            "Name": "pay.payments.acme.test.",
            "Type": "CNAME",
            "TTL": "10",
            "SetIdentifier": "source",
            "ResourceRecords": ["lb-1.us-east-1.elb.amazonaws.com"],
        },
    )


def test_record_reads_its_weight_when_it_is_deployed(template: Template) -> None:
    (record,) = template.find_resources("AWS::Route53::RecordSet").values()
    parameter = template.to_json()["Parameters"][record["Properties"]["Weight"]["Ref"]]
    assert parameter == {"Type": "AWS::SSM::Parameter::Value<String>", "Default": PARAMETER}


def test_unhealthy_environment_leaves_the_answers(template: Template) -> None:
    (check,) = template.find_resources("AWS::Route53::HealthCheck")
    (record,) = template.find_resources("AWS::Route53::RecordSet").values()
    assert record["Properties"]["HealthCheckId"] == {"Fn::GetAtt": [check, "HealthCheckId"]}
    template.has_resource_properties(
        "AWS::Route53::HealthCheck",
        {
            "HealthCheckConfig": {
                "Type": "HTTPS",
                "EnableSNI": True,
                "Port": 443,
                "FullyQualifiedDomainName": "lb-1.us-east-1.elb.amazonaws.com",
                "ResourcePath": "/health",
                "RequestInterval": 10,
                "FailureThreshold": 2,
            },
            "HealthCheckTags": [{"Key": "Name", "Value": "endpoint-health-source-dev1"}],
        },
    )


def kept(template: Template) -> tuple[str, dict[str, Any]]:
    ((logical_id, resource),) = template.find_resources("Custom::KeptWeight").items()
    return logical_id, dict(resource["Properties"])


def test_whatever_the_record_is_made_from_is_known_before_it_and_until_after_it(template: Template) -> None:
    (record,) = template.find_resources("AWS::Route53::RecordSet").values()
    logical_id, properties = kept(template)
    assert properties["Record"] == record["Properties"]
    assert properties["WeightParameter"] == PARAMETER
    assert record["DependsOn"] == [logical_id]


def test_keeper_of_the_weight_may_change_this_name_in_this_zone_only(template: Template) -> None:
    (policy,) = template.find_resources("AWS::IAM::ManagedPolicy").values()
    statements = {one["Sid"]: one for one in policy["Properties"]["PolicyDocument"]["Statement"]}
    assert {sid: one["Action"] for sid, one in statements.items() if sid != "Log"} == {
        "ReadRecord": "route53:ListResourceRecordSets",
        "ChangeRecord": "route53:ChangeResourceRecordSets",
        "ReadWeight": "ssm:GetParameter",
        "AskForTheStack": "cloudformation:DescribeStacks",
    }
    for sid in ("ReadRecord", "ChangeRecord"):
        assert statements[sid]["Resource"] == "arn:aws:route53:::hostedzone/Z123"
    assert statements["ChangeRecord"]["Condition"]["ForAllValues:StringEquals"] == {
        "route53:ChangeResourceRecordSetsNormalizedRecordNames": ["pay.payments.acme.test"],
        "route53:ChangeResourceRecordSetsRecordTypes": ["CNAME"],
        "route53:ChangeResourceRecordSetsActions": ["DELETE", "UPSERT"],
    }
    account = {"Ref": "AWS::AccountId"}
    parameter = {"Fn::Join": ["", ["arn:aws:ssm:us-east-1:", account, f":parameter{PARAMETER}"]]}
    assert statements["ReadWeight"]["Resource"] == parameter
    assert statements["AskForTheStack"]["Resource"] == {"Ref": "AWS::StackId"}
