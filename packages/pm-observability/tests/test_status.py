import json
from typing import Any

import aws_cdk as cdk
import boto3
import pytest
from aws_cdk.assertions import Template
from botocore.stub import ANY, Stubber

from pm_observability import ReplicationStatus, ReplicationStatusProps
from pm_observability.functions.status import task_status, weights

TASK = "arn:aws:dms:us-east-1:111122223333:task:LOAD"


def client(service: str) -> Any:
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
    return session.client(service)


@pytest.fixture(scope="module")
def template(stack: cdk.Stack) -> Template:
    props = ReplicationStatusProps(
        environment="target",
        suffix="dev1",
        task_arns={"load": TASK},
        instance_identifier="replication-instance-target-dev1",
        hosted_zone_id="Z1",
        record_name="pay.acme.test",
        log_retention_days=30,
    )
    ReplicationStatus(stack, "Status", props=props)
    return Template.from_stack(stack)


def test_endpoint_asks_for_iam_permission(template: Template) -> None:
    (url,) = template.find_resources("AWS::Lambda::Url").values()
    assert url["Properties"]["AuthType"] == "AWS_IAM"
    assert not [
        permission
        for permission in template.find_resources("AWS::Lambda::Permission").values()
        if permission["Properties"]["Principal"] == "*"
    ]


def test_endpoint_only_reads(template: Template) -> None:
    (policy,) = template.find_resources("AWS::IAM::ManagedPolicy").values()
    actions = {
        action
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        for action in (statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]])
    }
    assert {action.partition(":")[2][:3] for action in actions if not action.startswith("logs:")} == {
        "Get",
        "Des",
        "Lis",
    }


def test_settings_are_encrypted_with_a_key_of_ours(template: Template) -> None:
    (function,) = template.find_resources("AWS::Lambda::Function").values()
    assert json.loads(function["Properties"]["Environment"]["Variables"]["PM_STATUS"])["tasks"] == {"load": TASK}
    assert "Fn::GetAtt" in function["Properties"]["KmsKeyArn"]


def test_status_tells_progress_tables_validation_and_lag() -> None:
    dms, cloudwatch = client("dms"), client("cloudwatch")
    with Stubber(dms) as dms_stub, Stubber(cloudwatch) as cloudwatch_stub:
        task = {"Status": "running", "ReplicationTaskStats": {"FullLoadProgressPercent": 100}}
        dms_stub.add_response("describe_replication_tasks", {"ReplicationTasks": [task]})
        table = {"SchemaName": "public", "TableName": "payments", "TableState": "Table completed", "FullLoadRows": 7}
        dms_stub.add_response(
            "describe_table_statistics", {"TableStatistics": [table | {"ValidationState": "Validated"}]}
        )
        for metric, points in (("CDCLatencySource", [3.0]), ("CDCLatencyTarget", [])):
            asked = dict.fromkeys(("Namespace", "StartTime", "EndTime", "Period", "Statistics"), ANY)
            dimensions = [
                {"Name": "ReplicationInstanceIdentifier", "Value": "instance"},
                {"Name": "ReplicationTaskIdentifier", "Value": "LOAD"},
            ]
            cloudwatch_stub.add_response(
                "get_metric_statistics",
                {"Datapoints": [{"Timestamp": "2026-01-01T00:00:00Z", "Maximum": value} for value in points]},
                {**asked, "MetricName": metric, "Dimensions": dimensions},
            )
        status = task_status(dms, cloudwatch, arn=TASK, instance="instance")
    assert (status["status"], status["full_load_percent"]) == ("running", 100)
    assert (status["source_lag_seconds"], status["target_lag_seconds"]) == (3.0, None)
    (seen,) = status["tables"]
    assert (seen["table"], seen["loaded_rows"], seen["validation"]) == ("public.payments", 7, "Validated")


def test_weights_are_those_of_the_service_s_name() -> None:
    route53 = client("route53")
    with Stubber(route53) as stub:
        records = [
            {"Name": "pay.acme.test.", "Type": "CNAME", "SetIdentifier": "source", "Weight": 75},
            {"Name": "pay.acme.test.", "Type": "CNAME", "SetIdentifier": "target", "Weight": 25},
            {"Name": "zzz.acme.test.", "Type": "CNAME", "SetIdentifier": "other", "Weight": 1},
        ]
        answer = {"ResourceRecordSets": records, "IsTruncated": False, "MaxItems": "300"}
        stub.add_response("list_resource_record_sets", answer)
        assert weights(route53, zone_id="Z1", record="pay.acme.test") == {"source": 75, "target": 25}
