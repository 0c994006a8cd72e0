import json
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from pm_observability import (
    MigrationDashboard,
    MigrationDashboardProps,
    MonitoredDatabase,
    MonitoredEndpoint,
    MonitoredLogs,
    MonitoredReplication,
    MonitoredService,
)

TASKS = {name: f"arn:aws:dms:us-east-1:111122223333:task:{name.upper()}" for name in ("load", "forward", "reverse")}
PROPS: dict[str, Any] = {
    "environment": "target",
    "suffix": "dev1",
    "database": MonitoredDatabase(instance_id="database-target-dev1"),
    "service": MonitoredService(
        cluster_name="cluster-target-dev1",
        service_name="service-payments-target-dev1",
        load_balancer_full_name="app/load-balancer-target-dev1/0123456789abcdef",
        target_group_arn="arn:aws:elasticloadbalancing:us-east-1:111122223333:targetgroup/target-group-target-dev1/01",
    ),
    "endpoint": MonitoredEndpoint(health_check_id="check-1"),
    "logs": MonitoredLogs(bucket="logs", replicas={"audit": "replica"}),
}


def body_of(stack: cdk.Stack) -> dict[str, Any]:
    (dashboard,) = Template.from_stack(stack).find_resources("AWS::CloudWatch::Dashboard").values()
    assert dashboard["Properties"]["DashboardName"] == "dashboard-target-dev1"
    text = dashboard["Properties"]["DashboardBody"]
    if isinstance(text, dict):
        text = "".join(part if isinstance(part, str) else "token" for part in text["Fn::Join"][1])
    body: dict[str, Any] = json.loads(text)
    return body


def metrics(body: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (metric[0], metric[1])
        for widget in body["widgets"]
        for metric in widget["properties"]["metrics"]
        if isinstance(metric[0], str)
    }


@pytest.fixture(scope="module")
def body(stack: cdk.Stack) -> dict[str, Any]:
    replication = MonitoredReplication(instance_identifier="replication-instance-target-dev1", task_arns=TASKS)
    MigrationDashboard(stack, "Dashboard", props=MigrationDashboardProps(**PROPS, replication=replication))
    return body_of(stack)


@pytest.mark.parametrize(
    ("namespace", "names"),
    [
        (
            "AWS/DMS",
            {
                "CDCLatencySource",
                "CDCLatencyTarget",
                "CDCThroughputRowsTarget",
                "CDCChangesDiskTarget",
                "FullLoadThroughputRowsTarget",
                "CPUUtilization",
            },
        ),
        (
            "AWS/RDS",
            {
                "DatabaseConnections",
                "CPUUtilization",
                "ReadIOPS",
                "WriteIOPS",
                "ReadLatency",
                "WriteLatency",
                "FreeStorageSpace",
                "FreeableMemory",
                "OldestReplicationSlotLag",
                "TransactionLogsDiskUsage",
            },
        ),
        ("AWS/S3", {"OperationsPendingReplication", "ReplicationLatency"}),
        ("AWS/Route53", {"HealthCheckStatus"}),
        ("AWS/ECS", {"CPUUtilization", "MemoryUtilization"}),
        ("ECS/ContainerInsights", {"RunningTaskCount", "DesiredTaskCount"}),
        (
            "AWS/ApplicationELB",
            {
                "RequestCount",
                "HTTPCode_Target_4XX_Count",
                "HTTPCode_Target_5XX_Count",
                "HTTPCode_ELB_5XX_Count",
                "TargetResponseTime",
                "HealthyHostCount",
                "UnHealthyHostCount",
            },
        ),
    ],
)
def test_dashboard_shows(body: dict[str, Any], namespace: str, names: set[str]) -> None:
    assert {name for found, name in metrics(body) if found == namespace} == names


def test_lag_of_every_task_is_shown_with_the_limit(body: dict[str, Any]) -> None:
    lag = [widget["properties"] for widget in body["widgets"] if "lag" in widget["properties"]["title"]]
    assert len(lag) == 2
    for graph in lag:
        assert [metric[-1]["label"] for metric in graph["metrics"]] == ["load", "forward", "reverse"]
        assert graph["annotations"]["horizontal"][0]["value"] == 60


def test_rows_fill_the_page(body: dict[str, Any]) -> None:
    rows: dict[int, int] = {}
    for widget in body["widgets"]:
        rows[widget["y"]] = rows.get(widget["y"], 0) + widget["width"]
    assert set(rows.values()) == {24}


def test_an_environment_without_the_replication_shows_none() -> None:
    stack = cdk.Stack(cdk.App(), "Source", env=cdk.Environment(region="us-east-1"))
    dashboard = MigrationDashboard(stack, "Dashboard", props=MigrationDashboardProps(**PROPS))
    assert not any(namespace == "AWS/DMS" for namespace, _ in metrics(body_of(stack)))
    assert dashboard.url.endswith("region=us-east-1#dashboards/dashboard/dashboard-target-dev1")
