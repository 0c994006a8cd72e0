import aws_cdk as cdk
import pytest
from dashboards import Body, body_of, graphs, metrics, text_on_top, widths

from pm_observability import EnvironmentDashboard, EnvironmentDashboardProps, MonitoredEnvironment

Monitored = dict[str, MonitoredEnvironment]


@pytest.fixture(scope="module")
def body(stack: cdk.Stack, monitored: Monitored) -> Body:
    props = EnvironmentDashboardProps(environment="target", suffix="dev1", monitored=monitored["target"])
    dashboard = EnvironmentDashboard(stack, "Dashboard", props=props)
    assert dashboard.url.endswith("region=us-east-1#dashboards/dashboard/dashboard-target-dev1")
    return body_of(stack, "dashboard-target-dev1")


@pytest.mark.parametrize(
    ("namespace", "names"),
    [
        ("AWS/DMS", set()),
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
def test_dashboard_shows(body: Body, namespace: str, names: set[str]) -> None:
    assert {name for found, name in metrics(body) if found == namespace} == names


@pytest.mark.parametrize("title", ["Transaction logs not copied yet", "Copying of transaction logs"])
def test_copies_are_looked_for_in_the_region_where_they_arrive(body: Body, title: str) -> None:
    assert {metric[-1]["region"] for metric in graphs(body)[title]["metrics"]} == {"us-west-2"}


def test_rows_fill_the_page(body: Body) -> None:
    assert widths(body) == {24}


def test_a_text_says_what_it_is_where_the_runbook_is_and_what_comes_next(body: Body) -> None:
    text = text_on_top(body)
    assert text.startswith("# Target environment of the payment migration, dev1\n")
    assert "docs/runbook.md#alarms" in text
    assert "`pm status`" in text


def test_the_text_links_a_runbook_that_has_an_address(monitored: Monitored) -> None:
    stack = cdk.Stack(cdk.App(), "Linked", env=cdk.Environment(region="us-east-1"))
    props = EnvironmentDashboardProps(
        environment="source", suffix="dev1", monitored=monitored["source"], runbook="https://wiki.acme.test/runbook"
    )
    EnvironmentDashboard(stack, "Dashboard", props=props)
    text = text_on_top(body_of(stack, "dashboard-source-dev1"))
    assert "[runbook](https://wiki.acme.test/runbook#alarms)" in text
