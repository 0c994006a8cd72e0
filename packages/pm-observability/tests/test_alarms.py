import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from pm_observability import (
    AlarmTopic,
    MigrationAlarms,
    MigrationAlarmsProps,
    MonitoredDatabase,
    MonitoredEndpoint,
    MonitoredLogs,
    MonitoredReplication,
    MonitoredService,
)

RUNBOOK = Path(__file__).parents[3] / "docs" / "runbook.md"
TASKS = {name: f"arn:aws:dms:us-east-1:111122223333:task:{name.upper()}" for name in ("load", "forward", "reverse")}
REPLICATION = MonitoredReplication(instance_identifier="replication-instance-target-dev1", task_arns=TASKS)
DATABASE = MonitoredDatabase(instance_id="database-target-dev1")
SERVICE = MonitoredService(
    cluster_name="cluster-target-dev1",
    service_name="service-payments-target-dev1",
    load_balancer_full_name="app/load-balancer-target-dev1/0123456789abcdef",
    target_group_arn="arn:aws:elasticloadbalancing:us-east-1:111122223333:targetgroup/target-group-target-dev1/0123",
)


def alarms_of(stack: cdk.Stack, **replication: Any) -> Template:
    topic = AlarmTopic(stack, "AlarmTopic", environment="target", suffix="dev1").topic
    props = MigrationAlarmsProps(
        environment="target",
        suffix="dev1",
        topic=topic,
        database=DATABASE,
        database_storage_gib=100,
        service=SERVICE,
        desired_count=2,
        endpoint=MonitoredEndpoint(health_check_id="check-1"),
        logs=MonitoredLogs(bucket="logs", replicas={"audit": "replica"}),
        **replication,
    )
    MigrationAlarms(stack, "Alarms", props=props)
    return Template.from_stack(stack)


@pytest.fixture(scope="module")
def template(stack: cdk.Stack) -> Template:
    return alarms_of(stack, replication=REPLICATION, running_tasks=frozenset({"load"}))


def alarm(template: Template, qualifier: str) -> dict[str, Any]:
    name = f"alarm-{qualifier}-target-dev1"
    (found,) = template.find_resources("AWS::CloudWatch::Alarm", {"Properties": {"AlarmName": name}}).values()
    properties: dict[str, Any] = found["Properties"]
    return properties


@pytest.mark.parametrize("task", ["load", "forward", "reverse"])
@pytest.mark.parametrize("side", ["Source", "Target"])
def test_lag_over_60_seconds_alarms_for_each_task_on_both_sides(template: Template, task: str, side: str) -> None:
    lag = alarm(template, f"{task}-lag-{side.lower()}")
    assert (lag["Namespace"], lag["MetricName"]) == ("AWS/DMS", f"CDCLatency{side}")
    assert (lag["ComparisonOperator"], lag["Threshold"]) == ("GreaterThanThreshold", 60)
    assert {dimension["Name"]: dimension["Value"] for dimension in lag["Dimensions"]} == {
        "ReplicationInstanceIdentifier": "replication-instance-target-dev1",
        "ReplicationTaskIdentifier": task.upper(),
    }


def test_task_dimension_is_cut_from_an_arn_that_is_known_at_deploy_time_only() -> None:
    stack = cdk.Stack(cdk.App(), "Tokens")
    arn = cdk.Fn.ref("LoadTaskArn")
    cdk.CfnParameter(stack, "LoadTaskArn")
    tasks = MonitoredReplication(instance_identifier="instance", task_arns={"load": arn})
    lag = alarm(alarms_of(stack, replication=tasks), "load-lag-source")
    assert {"Fn::Select": [6, {"Fn::Split": [":", {"Ref": "LoadTaskArn"}]}]} in [
        dimension["Value"] for dimension in lag["Dimensions"]
    ]


def test_no_data_alarms_only_for_the_task_that_should_run(template: Template) -> None:
    assert alarm(template, "load-lag-target")["TreatMissingData"] == "breaching"
    assert alarm(template, "reverse-lag-target")["TreatMissingData"] == "notBreaching"


def test_failing_requests_alarm(template: Template) -> None:
    by_load_balancer = alarm(template, "load-balancer-5xx")
    assert by_load_balancer["MetricName"] == "HTTPCode_ELB_5XX_Count"
    by_service = alarm(template, "service-5xx")
    assert by_service["MetricName"] == "HTTPCode_Target_5XX_Count"
    assert {dimension["Name"]: dimension["Value"] for dimension in by_service["Dimensions"]} == {
        "LoadBalancer": "app/load-balancer-target-dev1/0123456789abcdef",
        "TargetGroup": "targetgroup/target-group-target-dev1/0123",
    }


def test_a_filling_disk_alarms_when_a_fifth_is_left(template: Template) -> None:
    storage = alarm(template, "free-storage")
    assert (storage["MetricName"], storage["ComparisonOperator"]) == ("FreeStorageSpace", "LessThanThreshold")
    assert storage["Threshold"] == 20 * 1024**3


def test_every_alarm_and_its_end_reach_the_topic_and_say_what_to_do(template: Template) -> None:
    (topic,) = template.find_resources("AWS::SNS::Topic")
    for found in template.find_resources("AWS::CloudWatch::Alarm").values():
        assert found["Properties"]["AlarmActions"] == found["Properties"]["OKActions"] == [{"Ref": topic}]
        assert len(found["Properties"]["AlarmDescription"]) > 80


def test_topic_is_encrypted_with_a_key_that_cloudwatch_may_use(template: Template) -> None:
    (key_id,) = template.find_resources("AWS::KMS::Key")
    (topic,) = template.find_resources("AWS::SNS::Topic").values()
    assert topic["Properties"]["KmsMasterKeyId"] == {"Fn::GetAtt": [key_id, "Arn"]}
    statements = template.find_resources("AWS::KMS::Key")[key_id]["Properties"]["KeyPolicy"]["Statement"]
    (admitted,) = (s for s in statements if s["Principal"] == {"Service": "cloudwatch.amazonaws.com"})
    assert set(admitted["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey*"}
    assert admitted["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_only_cloudwatch_of_this_account_publishes_and_only_over_tls(template: Template) -> None:
    (policy,) = template.find_resources("AWS::SNS::TopicPolicy").values()
    statements = policy["Properties"]["PolicyDocument"]["Statement"]
    assert {(s["Effect"], str(s["Principal"])) for s in statements} == {
        ("Allow", "{'Service': 'cloudwatch.amazonaws.com'}"),
        ("Deny", "*"),
    }


def test_an_environment_without_the_replication_has_no_lag_alarm() -> None:
    template = alarms_of(cdk.Stack(cdk.App(), "Source"))
    names = [found["Properties"]["AlarmName"] for found in template.find_resources("AWS::CloudWatch::Alarm").values()]
    assert "alarm-slot-lag-target-dev1" in names
    assert not any("CDCLatency" in str(found) for found in template.find_resources("AWS::CloudWatch::Alarm").values())


@pytest.mark.parametrize("metric", ["OldestReplicationSlotLag", "TransactionLogsDiskUsage"])
def test_write_ahead_log_that_a_slot_keeps_alarms_before_the_slot_is_given_up(template: Template, metric: str) -> None:
    (found,) = template.find_resources("AWS::CloudWatch::Alarm", {"Properties": {"MetricName": metric}}).values()
    given_up_at = 25 * 1024**3  # max_slot_wal_keep_size of 100 GiB
    assert found["Properties"]["Threshold"] == given_up_at / 2


@pytest.mark.parametrize(
    ("qualifier", "metric"),
    [
        ("running-tasks", "RunningTaskCount"),
        ("unhealthy-hosts", "UnHealthyHostCount"),
        ("response-time", "TargetResponseTime"),
        ("endpoint-down", "HealthCheckStatus"),
        ("database-cpu", "CPUUtilization"),
        ("log-replication-audit", "OperationsFailedReplication"),
        ("replication-memory", "FreeableMemory"),
    ],
)
def test_each_line_that_needs_a_person_alarms(template: Template, qualifier: str, metric: str) -> None:
    found = alarm(template, qualifier)
    assert metric in json.dumps(found)
    assert found["AlarmDescription"].endswith(f"Runbook: docs/runbook.md#{qualifier}")


def test_the_runbook_has_a_section_for_each_alarm(template: Template) -> None:
    headings = {line.lstrip("# ").strip() for line in RUNBOOK.read_text().splitlines() if line.startswith("#")}
    for found in template.find_resources("AWS::CloudWatch::Alarm").values():
        assert found["Properties"]["AlarmDescription"].rpartition("#")[2] in headings


def test_a_move_is_unsafe_while_any_alarm_but_lag_goes_off(template: Template) -> None:
    (unsafe,) = template.find_resources("AWS::CloudWatch::CompositeAlarm").values()
    assert unsafe["Properties"]["AlarmName"] == "alarm-migration-unsafe-target-dev1"
    rule = json.dumps(unsafe["Properties"]["AlarmRule"])
    alarms = template.find_resources("AWS::CloudWatch::Alarm")
    for name, found in alarms.items():
        assert (name in rule) is ("CDCLatency" not in str(found["Properties"].get("MetricName")))


@pytest.mark.parametrize(("mail", "subscriptions"), [(None, 0), ("ops@acme.test", 1)])
def test_mail_is_subscribed_when_it_is_set(mail: str | None, subscriptions: int) -> None:
    stack = cdk.Stack(cdk.App(), "Mail")
    AlarmTopic(stack, "AlarmTopic", environment="target", suffix="dev1", mail=mail)
    found = Template.from_stack(stack).find_resources("AWS::SNS::Subscription").values()
    assert [one["Properties"]["Endpoint"] for one in found] == [mail] * subscriptions
