"""What of a load balancer's traffic is counted; the requests are checked against botocore's own model."""

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.stub import ANY, Stubber

from pm_core.contracts import ComputeContract
from pm_cutover.aws.services import Service
from pm_cutover.aws.session import AwsSession

COMPUTE = ComputeContract(
    load_balancer_dns_name="lb.test",
    load_balancer_zone_id="Z1",
    load_balancer_full_name="app/payments/1",
    cluster_name="cluster",
    service_name="service",
    target_group_arn="arn:group",
)


def test_whoever_asks_for_what_is_not_there_is_not_served() -> None:
    """Scanners get 404 from a public load balancer all day: clients that are still there get something else."""
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
    aws = AwsSession(session=session)
    counted = {
        "HTTPCode_Target_2XX_Count": 5.0,
        "HTTPCode_Target_3XX_Count": 1.0,
        "HTTPCode_Target_5XX_Count": 2.0,
        "HTTPCode_ELB_5XX_Count": 1.0,
    }
    with Stubber(aws.client("cloudwatch")) as stub:
        for metric, value in counted.items():
            stub.add_response(
                "get_metric_statistics",
                {"Datapoints": [{"Sum": value}]},
                {
                    "Namespace": "AWS/ApplicationELB",
                    "MetricName": metric,
                    "Dimensions": [{"Name": "LoadBalancer", "Value": "app/payments/1"}],
                    "StartTime": ANY,
                    "EndTime": ANY,
                    "Period": 60,
                    "Statistics": ["Sum"],
                },
            )
        assert Service(aws=aws, compute=COMPUTE).served(since=datetime.now(UTC)) == sum(counted.values())
        stub.assert_no_pending_responses()


def test_more_than_a_day_is_asked_for_in_parts() -> None:
    """CloudWatch answers with at most 1,440 points, and refuses to say less."""
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
    aws = AwsSession(session=session)
    since = datetime.now(UTC) - timedelta(hours=30)
    asked: list[dict[str, Any]] = []
    with Stubber(aws.client("cloudwatch")) as stub:
        for value in (3.0, 4.0):
            stub.add_response("get_metric_statistics", {"Datapoints": [{"Sum": value}]})
        aws.client("cloudwatch").meta.events.register(
            "provide-client-params.cloudwatch.GetMetricStatistics", lambda params, **_: asked.append(params)
        )
        assert Service(aws=aws, compute=COMPUTE).requests(since=since) == 7
    first, second = asked
    assert first["StartTime"] == since.replace(second=0, microsecond=0)
    assert second["StartTime"] == first["EndTime"] == first["StartTime"] + timedelta(days=1)
    assert timedelta(hours=6) < second["EndTime"] - second["StartTime"] < timedelta(hours=7)
