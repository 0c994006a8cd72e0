import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from pm_observability import (
    AlarmTopic,
    MigrationAlarms,
    MigrationAlarmsProps,
    MonitoredCertificate,
    MonitoredEndpoint,
    MonitoredEnvironment,
    MonitoredReplication,
    ReplicaAlarm,
)

RUNBOOK = Path(__file__).parents[3] / "docs" / "runbook.md"
CERTIFICATE = "arn:aws:acm:us-east-1:111122223333:certificate/0123"
Monitored = dict[str, MonitoredEnvironment]


def alarms_of(stack: cdk.Stack, monitored: Monitored, **more: Any) -> Template:
    topic = AlarmTopic(stack, "AlarmTopic", environment="target", suffix="dev1").topic
    props = MigrationAlarmsProps(
        environment="target",
        suffix="dev1",
        topic=topic,
        monitored=monitored["target"],
        certificate=MonitoredCertificate(certificate_arn=CERTIFICATE),
        database_storage_gib=100,
        database_max_connections=1000,
        desired_count=2,
        max_count=8,
        **more,
    )
    MigrationAlarms(stack, "Alarms", props=props)
    return Template.from_stack(stack)


@pytest.fixture(scope="module")
def template(stack: cdk.Stack, monitored: Monitored, replication: MonitoredReplication) -> Template:
    return alarms_of(stack, monitored, replication=replication, running_tasks=frozenset({"load"}), some_task_runs=True)


def alarm(template: Template, qualifier: str) -> dict[str, Any]:
    name = f"alarm-{qualifier}-target-dev1"
    (found,) = template.find_resources("AWS::CloudWatch::Alarm", {"Properties": {"AlarmName": name}}).values()
    properties: dict[str, Any] = found["Properties"]
    return properties


def dimensions(of: dict[str, Any]) -> dict[str, Any]:
    return {dimension["Name"]: dimension["Value"] for dimension in of["Dimensions"]}


@pytest.mark.parametrize("task", ["load", "forward", "reverse"])
@pytest.mark.parametrize("side", ["Source", "Target"])
def test_lag_over_60_seconds_alarms_for_each_task_on_both_sides(template: Template, task: str, side: str) -> None:
    lag = alarm(template, f"{task}-lag-{side.lower()}")
    assert (lag["Namespace"], lag["MetricName"]) == ("AWS/DMS", f"CDCLatency{side}")
    assert (lag["ComparisonOperator"], lag["Threshold"]) == ("GreaterThanThreshold", 60)
    assert dimensions(lag) == {
        "ReplicationInstanceIdentifier": "replication-instance-target-dev1",
        "ReplicationTaskIdentifier": task.upper(),
    }


@pytest.mark.parametrize("task", ["load", "forward", "reverse"])
def test_one_row_that_failed_validation_alarms_for_each_task(template: Template, task: str) -> None:
    failed = alarm(template, f"{task}-validation")
    assert (failed["Namespace"], failed["MetricName"]) == ("AWS/DMS", "ValidationFailedOverallCount")
    assert (failed["ComparisonOperator"], failed["Threshold"], failed["EvaluationPeriods"]) == (
        "GreaterThanThreshold",
        0,
        1,
    )
    assert dimensions(failed)["ReplicationTaskIdentifier"] == task.upper()


def test_task_dimension_is_cut_from_an_arn_that_is_known_at_deploy_time_only(monitored: Monitored) -> None:
    stack = cdk.Stack(cdk.App(), "Tokens")
    arn = cdk.Fn.ref("LoadTaskArn")
    cdk.CfnParameter(stack, "LoadTaskArn")
    tasks = MonitoredReplication(
        instance_identifier="instance", task_arns={"load": arn}, task_identifiers={"load": "task"}
    )
    lag = alarm(alarms_of(stack, monitored, replication=tasks), "load-lag-source")
    assert {"Fn::Select": [6, {"Fn::Split": [":", {"Ref": "LoadTaskArn"}]}]} in [
        dimension["Value"] for dimension in lag["Dimensions"]
    ]


def test_no_data_alarms_only_for_the_task_that_should_run(template: Template) -> None:
    assert alarm(template, "load-lag-target")["TreatMissingData"] == "breaching"
    assert alarm(template, "reverse-lag-target")["TreatMissingData"] == "notBreaching"


def test_a_replication_of_which_no_task_reports_alarms_while_one_should_run(
    template: Template, monitored: Monitored, replication: MonitoredReplication
) -> None:
    silent = alarm(template, "replication-silent")
    (expression,) = (query["Expression"] for query in silent["Metrics"] if "Expression" in query)
    counted = {query["Id"]: query["MetricStat"] for query in silent["Metrics"] if "MetricStat" in query}
    assert expression == "SUM([load, forward, reverse])"
    assert set(counted) == {"load", "forward", "reverse"}
    assert {stat["Stat"] for stat in counted.values()} == {"SampleCount"}
    assert (silent["ComparisonOperator"], silent["Threshold"]) == ("LessThanThreshold", 1)
    assert silent["TreatMissingData"] == "breaching"  # no report of any task is no data
    before = alarms_of(cdk.Stack(cdk.App(), "Before"), monitored, replication=replication)
    assert alarm(before, "replication-silent")["TreatMissingData"] == "notBreaching"


def test_failing_requests_alarm(template: Template) -> None:
    by_load_balancer = alarm(template, "load-balancer-5xx")
    assert by_load_balancer["MetricName"] == "HTTPCode_ELB_5XX_Count"
    by_service = alarm(template, "service-5xx")
    assert by_service["MetricName"] == "HTTPCode_Target_5XX_Count"
    assert dimensions(by_service) == {
        "LoadBalancer": "app/load-balancer-target-dev1/0123456789abcdef",
        "TargetGroup": "targetgroup/target-group-target-dev1/0123",
    }


def test_a_service_without_room_to_grow_alarms(template: Template) -> None:
    saturated = alarm(template, "service-saturated")
    (expression,) = (query["Expression"] for query in saturated["Metrics"] if "Expression" in query)
    assert expression == "IF(tasks >= 8 AND cpu > 80, 1, 0)"
    assert {query["Id"] for query in saturated["Metrics"] if "MetricStat" in query} == {"tasks", "cpu"}


def test_a_filling_disk_alarms_when_a_fifth_is_left(template: Template) -> None:
    storage = alarm(template, "free-storage")
    assert (storage["MetricName"], storage["ComparisonOperator"]) == ("FreeStorageSpace", "LessThanThreshold")
    assert storage["Threshold"] == 20 * 1024**3


def test_sessions_alarm_before_the_last_one_is_taken(template: Template) -> None:
    sessions = alarm(template, "database-connections")
    assert (sessions["MetricName"], sessions["Threshold"]) == ("DatabaseConnections", 800)


def test_a_certificate_that_was_not_renewed_alarms_a_month_before_its_end(template: Template) -> None:
    expiry = alarm(template, "certificate-expiry")
    assert (expiry["MetricName"], expiry["ComparisonOperator"], expiry["Threshold"]) == (
        "DaysToExpiry",
        "LessThanThreshold",
        30,
    )
    assert dimensions(expiry) == {"CertificateArn": CERTIFICATE}
    assert expiry["Period"] >= 12 * 3600  # it is reported twice a day


def test_a_rotation_that_fails_alarms_whosever_password_it_is(template: Template) -> None:
    failed = alarm(template, "secret-rotation")
    expressions = [query["Expression"] for query in failed["Metrics"] if "Expression" in query]
    assert expressions == ["SUM([master, app])"]
    watched = [query["MetricStat"] for query in failed["Metrics"] if "MetricStat" in query]
    assert {(one["Metric"]["MetricName"], one["Stat"]) for one in watched} == {("Errors", "Sum")}
    assert {dimensions(one["Metric"])["FunctionName"] for one in watched} == {
        "function-rotate-master-target-dev1",
        "function-rotate-app-target-dev1",
    }
    assert failed["Threshold"] == 0


LATE = "log-replication-late-audit"


def replica_alarm(monitored: Monitored, *, region: str) -> Template:
    stack = cdk.Stack(cdk.App(), "Audit", env=cdk.Environment(region=region))
    topic = AlarmTopic(stack, "AlarmTopic", environment="target", suffix="dev1").topic
    logs = monitored["target"].logs
    ReplicaAlarm(stack, "Alarm", environment="target", suffix="dev1", topic=topic, logs=logs, rule="audit")
    return Template.from_stack(stack)


@pytest.fixture(scope="module")
def audited(monitored: Monitored) -> Template:
    return replica_alarm(monitored, region="us-west-2")


def test_a_copy_of_a_log_that_is_late_alarms_after_15_minutes_where_it_should_arrive(audited: Template) -> None:
    late = alarm(audited, LATE)
    assert (late["MetricName"], late["Threshold"]) == ("ReplicationLatency", 15 * 60)
    assert dimensions(late) == {"SourceBucket": "logs-target", "DestinationBucket": "replica-target", "RuleId": "audit"}


def test_no_alarm_watches_a_metric_of_another_region(monitored: Monitored) -> None:
    """S3 publishes how late copies are in the replica's region only: elsewhere the alarm would be silent for ever."""
    with pytest.raises(RuntimeError, match="us-west-2"):
        replica_alarm(monitored, region="us-east-1")


def test_no_alarm_waits_for_metrics_of_another_region(monitored: Monitored) -> None:
    """Route 53's are in us-east-1: an alarm in another region would see none, and never ring."""
    away = replace(
        monitored["target"],
        endpoint=MonitoredEndpoint(health_check_id="check", region="eu-west-1"),
        logs=replace(monitored["target"].logs, region="eu-west-1"),
    )
    stack = cdk.Stack(cdk.App(), "Away", env=cdk.Environment(account="111122223333", region="eu-west-1"))
    made = json.dumps(alarms_of(stack, {"target": away}).to_json())
    assert "certificate-expiry" in made
    assert "HealthCheckStatus" not in made
    assert "endpoint-down" not in made


@pytest.mark.parametrize("made", ["template", "audited"])
def test_every_alarm_and_its_end_reach_the_topic_and_say_what_to_do(made: str, request: pytest.FixtureRequest) -> None:
    template: Template = request.getfixturevalue(made)
    (topic,) = template.find_resources("AWS::SNS::Topic")
    for found in template.find_resources("AWS::CloudWatch::Alarm").values():
        assert found["Properties"]["AlarmActions"] == found["Properties"]["OKActions"] == [{"Ref": topic}]
        assert len(found["Properties"]["AlarmDescription"]) > 80


def test_an_environment_without_the_replication_has_no_alarm_about_it(monitored: Monitored) -> None:
    template = alarms_of(cdk.Stack(cdk.App(), "Source"), monitored)
    names = [found["Properties"]["AlarmName"] for found in template.find_resources("AWS::CloudWatch::Alarm").values()]
    assert "alarm-slot-lag-target-dev1" in names
    assert "AWS/DMS" not in json.dumps(template.to_json())


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
        ("database-memory", "FreeableMemory"),
        ("log-replication-audit", "OperationsFailedReplication"),
        ("replication-memory", "AvailableMemory"),
        ("replication-storage", "FreeStorageSpace"),
    ],
)
def test_each_line_that_needs_a_person_alarms(template: Template, qualifier: str, metric: str) -> None:
    found = alarm(template, qualifier)
    assert metric in json.dumps(found)
    assert found["AlarmDescription"].endswith(f"Runbook: docs/runbook.md#{qualifier}")


@pytest.mark.parametrize("made", ["template", "audited"])
def test_the_runbook_has_a_section_for_each_alarm(made: str, request: pytest.FixtureRequest) -> None:
    template: Template = request.getfixturevalue(made)
    headings = {line.lstrip("# ").strip() for line in RUNBOOK.read_text().splitlines() if line.startswith("#")}
    for found in template.find_resources("AWS::CloudWatch::Alarm").values():
        assert found["Properties"]["AlarmDescription"].rpartition("#")[2] in headings


def test_alarms_link_the_runbook_where_the_operators_read_it(monitored: Monitored) -> None:
    template = alarms_of(cdk.Stack(cdk.App(), "Linked"), monitored, runbook="https://wiki.acme.test/runbook")
    assert alarm(template, "wal-disk")["AlarmDescription"].endswith("https://wiki.acme.test/runbook#wal-disk")


# What says nothing about payments or the ground that they would be moved to; lag is read by the engine itself.
HARMLESS = ("certificate-expiry", "log-replication-audit", "secret-rotation")


def test_a_move_is_unsafe_while_any_alarm_goes_off_but_lag_and_what_does_not_touch_payments(template: Template) -> None:
    (unsafe,) = template.find_resources("AWS::CloudWatch::CompositeAlarm").values()
    assert unsafe["Properties"]["AlarmName"] == "alarm-migration-unsafe-target-dev1"
    rule = json.dumps(unsafe["Properties"]["AlarmRule"])
    for logical_id, found in template.find_resources("AWS::CloudWatch::Alarm").items():
        qualifier = found["Properties"]["AlarmName"].removeprefix("alarm-").removesuffix("-target-dev1")
        assert (f'"{logical_id}"' in rule) is not ("-lag-" in qualifier or qualifier in HARMLESS), qualifier


def test_alarms_keep_their_logical_ids(template: Template) -> None:
    """Their names are fixed: another id would make a second alarm of the same name before the first is deleted."""
    prefixes = {logical_id[:-8] for logical_id in template.find_resources("AWS::CloudWatch::Alarm")}
    assert {"AlarmsLoadLagSource", "AlarmsLoadBalancerErrors", "AlarmsWalDisk", "AlarmsLogReplicationAudit"} < prefixes
