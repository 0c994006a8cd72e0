import json

import aws_cdk as cdk
import pytest
from aws_cdk import aws_cloudwatch as cloudwatch
from dashboards import Body, body_of, graphs, labels, metrics, text_on_top, widths

from pm_observability import (
    MigrationDashboard,
    MigrationDashboardProps,
    MonitoredEnvironment,
    MonitoredReplication,
)

FUNCTION = "arn:aws:lambda:us-east-1:111122223333:function:function-migration-status-target-dev1"


@pytest.fixture(scope="module")
def body(stack: cdk.Stack, monitored: dict[str, MonitoredEnvironment], replication: MonitoredReplication) -> Body:
    alarms = [
        cloudwatch.Alarm.from_alarm_name(stack, name.capitalize(), f"alarm-migration-unsafe-{name}-dev1")
        for name in monitored
    ]
    props = MigrationDashboardProps(
        environment="target",
        suffix="dev1",
        phase="shift",
        next_command="pm shift 5,25,50,100 --bake 5m",
        monitored=monitored,
        replication=replication,
        alarms=alarms,
        status_function_arn=FUNCTION,
        database_storage_gib=100,
    )
    dashboard = MigrationDashboard(stack, "Migration", props=props)
    assert dashboard.url.endswith("#dashboards/dashboard/dashboard-migration-target-dev1")
    return body_of(stack, "dashboard-migration-target-dev1")


@pytest.mark.parametrize(
    ("namespace", "names"),
    [
        (
            "AWS/DMS",
            {
                "CDCLatencySource",
                "CDCLatencyTarget",
                "CDCThroughputRowsTarget",
                "CDCIncomingChanges",
                "CDCChangesDiskTarget",
                "FullLoadThroughputRowsTarget",
                "ValidationFailedOverallCount",
                "ValidationPendingOverallCount",
                "ValidationSuspendedOverallCount",
                "ValidationSucceededRecordCount",
                "CPUUtilization",
            },
        ),
        (
            "AWS/RDS",
            {"OldestReplicationSlotLag", "TransactionLogsDiskUsage", "CPUUtilization", "DatabaseConnections"},
        ),
        (
            "AWS/ApplicationELB",
            {
                "RequestCount",
                "HTTPCode_Target_5XX_Count",
                "HTTPCode_ELB_5XX_Count",
                "TargetResponseTime",
                "HealthyHostCount",
            },
        ),
        ("AWS/Route53", {"HealthCheckStatus"}),
        ("AWS/S3", {"OperationsPendingReplication", "ReplicationLatency"}),
    ],
)
def test_dashboard_shows(body: Body, namespace: str, names: set[str]) -> None:
    assert {name for found, name in metrics(body) if found == namespace} == names


@pytest.mark.parametrize("title", ["Transaction logs not copied yet", "Copying of transaction logs"])
def test_copies_are_looked_for_in_the_region_where_they_arrive(body: Body, title: str) -> None:
    assert {metric[-1]["region"] for metric in graphs(body)[title]["metrics"]} == {"us-west-2"}


@pytest.mark.parametrize("side", ["source", "target"])
def test_lag_of_every_task_is_shown_with_the_limit(body: Body, side: str) -> None:
    lag = graphs(body)[f"Replication lag, {side}"]
    assert labels(lag) == ["load", "forward", "reverse"]
    assert lag["annotations"]["horizontal"][0]["value"] == 60


@pytest.mark.parametrize(
    "title",
    [
        "Slot that is furthest behind",
        "Write-ahead log",
        "Requests",
        "Response time, p99",
        "Healthy hosts",
        "Running tasks",
        "Database CPU",
        "Healthy for Route 53",
    ],
)
def test_both_environments_are_side_by_side(body: Body, title: str) -> None:
    graph = graphs(body)[title]
    assert labels(graph) == ["source", "target"]
    shown = json.dumps(graph["metrics"])
    assert "source" in shown.replace('"label": "source"', "")
    assert "target-dev1" in shown or "check-target" in shown


def test_copies_of_both_environments_logs_are_shown(body: Body) -> None:
    for title in ("Transaction logs not copied yet", "Copying of transaction logs"):
        assert labels(graphs(body)[title]) == ["source: audit", "target: audit"]


def test_write_ahead_log_is_shown_with_the_line_of_its_alarm(body: Body) -> None:
    for title in ("Slot that is furthest behind", "Write-ahead log"):
        assert graphs(body)[title]["annotations"]["horizontal"][0]["value"] == 12.5 * 1024**3


def test_alarms_of_both_environments_are_on_top(body: Body) -> None:
    (alarms,) = (widget for widget in body["widgets"] if widget["type"] == "alarm")
    assert len(alarms["properties"]["alarms"]) == 2
    for name in ("source", "target"):
        assert f"alarm-migration-unsafe-{name}-dev1" in json.dumps(alarms["properties"]["alarms"])
    assert alarms["y"] < min(widget["y"] for widget in body["widgets"] if widget["type"] == "metric")


def test_writer_load_and_validation_are_what_the_status_function_says(body: Body) -> None:
    (custom,) = (widget for widget in body["widgets"] if widget["type"] == "custom")
    assert custom["properties"]["endpoint"] == FUNCTION
    assert custom["properties"]["updateOn"]["refresh"] is True


def test_a_text_says_what_it_is_where_the_runbook_is_and_what_comes_next(body: Body) -> None:
    text = text_on_top(body)
    assert text.startswith("# Payment migration dev1, phase shift\n")
    assert "docs/runbook.md#alarms" in text
    assert "`pm shift 5,25,50,100 --bake 5m`" in text


def test_rows_fill_the_page(body: Body) -> None:
    assert widths(body) == {24}
