"""The template of the status endpoint, and its parts against boto3's stubs."""

import json
import threading
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import boto3
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk.assertions import Template
from botocore.stub import ANY, Stubber

from pm_observability import AskedDatabase, MonitoredReplication, ReplicationStatus, ReplicationStatusProps
from pm_observability.functions import status
from pm_observability.functions.status import answers
from pm_observability.functions.tasks import task_status
from pm_observability.functions.weights import weights
from pm_observability.functions.widget import markdown

TASK = "arn:aws:dms:us-east-1:111122223333:task:LOAD"
DATABASES = {
    name: AskedDatabase(
        secret_arn=f"arn:aws:secretsmanager:us-east-1:111122223333:secret:{name}-abc",
        key_arn=f"arn:aws:kms:us-east-1:111122223333:key/{name}",
    )
    for name in ("source", "target")
}


def client(service: str) -> Any:
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
    return session.client(service)


@pytest.fixture(scope="module")
def template(stack: cdk.Stack, replication: MonitoredReplication) -> Template:
    group = ec2.SecurityGroup.from_security_group_id(stack, "Functions", "sg-0123456789abcdef0", mutable=False)
    props = ReplicationStatusProps(
        environment="target",
        suffix="dev1",
        replication=replication,
        hosted_zone_id="Z1",
        record_name="pay.acme.test",
        databases=DATABASES,
        ssl_mode="verify-full",
        subnet_ids=("subnet-0123456789abcdef0", "subnet-0123456789abcdef1"),
        security_group=group,
        log_retention_days=30,
    )
    ReplicationStatus(stack, "Status", props=props)
    return Template.from_stack(stack)


def statements(template: Template) -> dict[str, dict[str, Any]]:
    (policy,) = template.find_resources("AWS::IAM::ManagedPolicy").values()
    return {statement["Sid"]: statement for statement in policy["Properties"]["PolicyDocument"]["Statement"]}


def test_endpoint_asks_for_iam_permission(template: Template) -> None:
    (url,) = template.find_resources("AWS::Lambda::Url").values()
    assert url["Properties"]["AuthType"] == "AWS_IAM"
    assert not [
        permission
        for permission in template.find_resources("AWS::Lambda::Permission").values()
        if permission["Properties"]["Principal"] == "*"
    ]


def test_endpoint_only_reads(template: Template) -> None:
    found = {name: one["Action"] for name, one in statements(template).items() if name not in {"Log", "Interfaces"}}
    assert found == {
        "Tables": "dms:DescribeTableStatistics",
        "Weights": "route53:ListResourceRecordSets",
        "ReadSecrets": "secretsmanager:GetSecretValue",
        "DecryptSecrets": "kms:Decrypt",
        "Look": ["cloudwatch:GetMetricStatistics", "dms:DescribeReplicationTasks"],
    }


def test_endpoint_reads_the_secrets_of_the_two_users_that_may_do_nothing(template: Template) -> None:
    found = statements(template)
    assert set(found["ReadSecrets"]["Resource"]) == {database.secret_arn for database in DATABASES.values()}
    assert set(found["DecryptSecrets"]["Resource"]) == {database.key_arn for database in DATABASES.values()}


def test_function_is_where_both_databases_are_reached_and_answers_within_its_time(template: Template) -> None:
    (function,) = template.find_resources("AWS::Lambda::Function").values()
    assert function["Properties"]["VpcConfig"] == {
        "SubnetIds": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
        "SecurityGroupIds": ["sg-0123456789abcdef0"],
    }
    assert function["Properties"]["Timeout"] == 30
    assert status.ANSWER_SECONDS < 30


def test_settings_are_encrypted_with_a_key_of_ours_and_hold_no_secret(template: Template) -> None:
    (function,) = template.find_resources("AWS::Lambda::Function").values()
    settings = json.loads(function["Properties"]["Environment"]["Variables"]["PM_STATUS"])
    assert settings["tasks"]["load"] == TASK
    assert settings["databases"] == {name: database.secret_arn for name, database in DATABASES.items()}
    assert "Fn::GetAtt" in function["Properties"]["KmsKeyArn"]


def test_status_tells_progress_tables_validation_and_lag() -> None:
    dms, cloudwatch = client("dms"), client("cloudwatch")
    with Stubber(dms) as dms_stub, Stubber(cloudwatch) as cloudwatch_stub:
        task = {"Status": "running", "ReplicationTaskStats": {"FullLoadProgressPercent": 100}}
        dms_stub.add_response("describe_replication_tasks", {"ReplicationTasks": [task]})
        tables = [
            {
                "SchemaName": "public",
                "TableName": name,
                "TableState": "Table completed",
                "FullLoadRows": 7,
                "ValidationState": state,
                "ValidationFailedRecords": failed,
                "ValidationPendingRecords": 2,
            }
            for name, state, failed in (("accounts", "Validated", 0), ("payments", "Mismatched records", 3))
        ]
        dms_stub.add_response("describe_table_statistics", {"TableStatistics": tables})
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
        found = task_status(dms, cloudwatch, arn=TASK, instance="instance")
    assert (found["status"], found["full_load_percent"]) == ("running", 100)
    assert (found["source_lag_seconds"], found["target_lag_seconds"]) == (3.0, None)
    assert [(one["table"], one["validation"]) for one in found["tables"]] == [
        ("public.accounts", "Validated"),
        ("public.payments", "Mismatched records"),
    ]
    assert found["validation"] == {
        "states": ["Mismatched records", "Validated"],
        "failed": 3,
        "pending": 4,
        "suspended": 0,
    }


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


def test_a_part_that_fails_or_hangs_spoils_no_other() -> None:
    hanging = threading.Event()
    no_such_task = client("dms").exceptions.ResourceNotFoundFault(
        {"Error": {"Code": "ResourceNotFoundFault", "Message": "no such task"}}, "DescribeReplicationTasks"
    )

    def refused() -> dict[str, Any]:
        raise no_such_task

    def hangs() -> dict[str, Any]:
        hanging.wait(20)
        return {}

    def unreachable() -> dict[str, Any]:
        raise ConnectionRefusedError("nobody listens")

    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "good": lambda: {"ok": True},
        "refused": refused,
        "hangs": hangs,
        "unreachable": unreachable,
    }
    found = answers(parts, seconds=1)
    hanging.set()
    assert found["good"] == {"ok": True}
    assert "no such task" in found["refused"]["error"]
    assert found["hangs"]["error"] == "no answer within 1 s"
    assert found["unreachable"] == {"error": "ConnectionRefusedError: nobody listens"}


def test_a_mistake_of_ours_is_not_taken_for_a_part_that_cannot_be_read() -> None:
    with pytest.raises(KeyError):
        answers({"wrong": lambda: {}["missing"]}, seconds=1)


FENCE = {"installed": True, "word": 10, "epoch": 1, "state": "open"}
TASK_FOUND = {
    "status": "running",
    "full_load_percent": 40,
    "tables": [
        {
            "table": "public.payments",
            "state": "Full load",
            "loaded_rows": 12,
            "validation": "Pending validation",
            "validation_failures": 0,
        }
    ],
    "validation": {"states": ["Pending validation"], "failed": 0, "pending": 5, "suspended": 0},
    "source_lag_seconds": 1.2,
    "target_lag_seconds": None,
}
FOUND = {
    "writer": {"open": "source", "finished": False, "source": FENCE, "target": {"error": "nobody listens"}},
    "tasks": {"load": TASK_FOUND, "reverse": {"error": "no such task"}},
    "weights": {"source": 75, "target": 25},
}


def test_a_dashboard_gets_a_text_with_writer_load_and_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PM_STATUS", "{}")
    monkeypatch.setattr(status, "status", lambda _: FOUND)
    text = status.handle({"widgetContext": {}}, None)["markdown"]
    assert text == markdown(FOUND)
    assert "**Writer** source (source open at epoch 1, target does not answer: nobody listens)" in text
    assert "**weights** source 75, target 25" in text
    assert "| load | running | 40 % | 1 s | - | 0 failed, 5 pending, 0 suspended |" in text
    assert "| load | public.payments | Full load | 12 | Pending validation | 0 |" in text
    assert "| reverse | no such task |" in text


def test_a_caller_gets_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PM_STATUS", "{}")
    monkeypatch.setattr(status, "status", lambda _: FOUND)
    answer = status.handle({"requestContext": {}}, None)
    assert (answer["statusCode"], answer["headers"]["Content-Type"]) == (200, "application/json")
    assert json.loads(answer["body"]) == FOUND
