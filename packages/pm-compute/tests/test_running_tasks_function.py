"""Tasks that run when their stack is deleted: the requests are checked against botocore's own model."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pm_compute.functions.running_tasks import StillRunningError, stop_all

CLUSTER, FAMILY = "cluster-target", "task-definition-operator-target"
ONE, TWO = (f"arn:aws:ecs:us-east-1:111122223333:task/{CLUSTER}/{number}" for number in ("1", "2"))


class Ecs:
    """ECS whose answers are given in order."""

    def __init__(self) -> None:
        self.client: Any = boto3.client(
            "ecs", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        self.stub = Stubber(self.client)

    def lists(self, *, running: list[str], stopping: list[str]) -> None:
        for wanted, arns in (("RUNNING", running), ("STOPPED", stopping)):
            expected = {"cluster": CLUSTER, "family": FAMILY, "desiredStatus": wanted}
            self.stub.add_response("list_tasks", {"taskArns": arns}, expected)

    def describes(self, **statuses: tuple[str, str]) -> None:
        tasks = [
            {"taskArn": {"one": ONE, "two": TWO}[name], "desiredStatus": desired, "lastStatus": last}
            for name, (desired, last) in statuses.items()
        ]
        arns = [task["taskArn"] for task in tasks]
        self.stub.add_response("describe_tasks", {"tasks": tasks}, {"cluster": CLUSTER, "tasks": arns})

    def stops(self, arn: str) -> None:
        expected = {"cluster": CLUSTER, "task": arn, "reason": "Its stack is being deleted"}
        self.stub.add_response("stop_task", {}, expected)

    def stop_all(self, seconds: float = 5.0) -> int:
        return stop_all(self.client, cluster=CLUSTER, family=FAMILY, seconds=seconds, look_seconds=0.01)


@pytest.fixture
def ecs() -> Iterator[Ecs]:
    ecs = Ecs()
    with ecs.stub:
        yield ecs
    ecs.stub.assert_no_pending_responses()


def test_nothing_runs_and_nothing_is_stopped(ecs: Ecs) -> None:
    ecs.lists(running=[], stopping=[])
    assert ecs.stop_all() == 0


def test_a_running_task_is_stopped_once_and_waited_for(ecs: Ecs) -> None:
    ecs.lists(running=[ONE], stopping=[])
    ecs.describes(one=("RUNNING", "RUNNING"))
    ecs.stops(ONE)
    ecs.lists(running=[], stopping=[ONE])
    ecs.describes(one=("STOPPED", "DEPROVISIONING"))
    ecs.lists(running=[], stopping=[ONE])
    ecs.describes(one=("STOPPED", "STOPPED"))
    assert ecs.stop_all() == 1


def test_a_task_that_somebody_stopped_is_only_waited_for(ecs: Ecs) -> None:
    ecs.lists(running=[], stopping=[ONE, TWO])
    ecs.describes(one=("STOPPED", "STOPPING"), two=("STOPPED", "STOPPED"))
    ecs.lists(running=[], stopping=[])
    assert ecs.stop_all() == 0


def test_a_task_that_does_not_end_is_named(ecs: Ecs) -> None:
    ecs.lists(running=[ONE], stopping=[])
    ecs.describes(one=("RUNNING", "RUNNING"))
    ecs.stops(ONE)
    with pytest.raises(StillRunningError, match=f"{ONE}; delete the stack again"):
        ecs.stop_all(seconds=0.0)


def test_a_cluster_that_is_gone_has_no_tasks(ecs: Ecs) -> None:
    ecs.stub.add_client_error("list_tasks", service_error_code="ClusterNotFoundException")
    assert ecs.stop_all() == 0
