"""The function behind QuietCluster; requests are checked against botocore's own model."""

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pm_compute.functions import quiet_cluster
from pm_core.custom_resources import Request

STACK = "arn:aws:cloudformation:us-east-1:111122223333:stack/compute/1"
OFF = {"cluster": "cluster-source", "settings": [{"name": "containerInsights", "value": "disabled"}]}


def client(service: str) -> Any:
    return boto3.client(service, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")


def test_a_cluster_that_is_gone_is_quiet() -> None:
    ecs = client("ecs")
    with Stubber(ecs) as stub:
        stub.add_client_error("update_cluster_settings", "ClusterNotFoundException", expected_params=OFF)
        assert quiet_cluster.switch_off(ecs, "cluster-source") is False


@pytest.mark.parametrize(
    ("request_type", "status", "off"),
    [
        ("Create", "CREATE_IN_PROGRESS", False),
        ("Update", "UPDATE_IN_PROGRESS", False),
        ("Delete", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", False),
        ("Delete", "UPDATE_ROLLBACK_IN_PROGRESS", False),
        ("Delete", "ROLLBACK_IN_PROGRESS", True),
        ("Delete", "DELETE_IN_PROGRESS", True),
    ],
)
def test_insights_are_switched_off_when_the_stack_goes_only(
    request_type: str, status: str, off: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ecs, cloudformation = client("ecs"), client("cloudformation")
    clients = {"ecs": ecs, "cloudformation": cloudformation}
    monkeypatch.setattr(quiet_cluster.boto3, "client", lambda name, **_: clients[name])
    with Stubber(ecs) as clusters, Stubber(cloudformation) as stacks:
        if request_type == "Delete":
            stack = {"StackName": "compute", "CreationTime": "2026-01-01T00:00:00Z", "StackStatus": status}
            stacks.add_response("describe_stacks", {"Stacks": [stack]}, {"StackName": STACK})
        if off:
            clusters.add_response("update_cluster_settings", {}, OFF)
        outcome = quiet_cluster.work(
            Request(kind=request_type, properties={"Cluster": "cluster-source"}, stack_id=STACK, seconds=10)
        )
        clusters.assert_no_pending_responses()
        stacks.assert_no_pending_responses()
    assert outcome.physical_id == "quiet:cluster-source"
