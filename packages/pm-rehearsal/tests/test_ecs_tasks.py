"""ECS tasks without a service: one process that runs to its end, and what is known of it then."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pm_rehearsal.cloud.launch import EmbeddedCloud

TESTS = Path(__file__).parent
SECONDS = 30.0
NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"]}}
OPTIONS = {"awslogs-group": "/jobs", "awslogs-stream-prefix": "s", "awslogs-region": "us-east-1"}


@pytest.fixture(scope="module")
def cloud() -> Iterator[EmbeddedCloud]:
    images = {
        "repository-": [sys.executable, str(TESTS / "tiny_server.py")],
        "repository-job-": [sys.executable, str(TESTS / "tiny_job.py")],
    }
    with EmbeddedCloud(images=images, programs=Path("/somewhere/bin")) as cloud:
        yield cloud


class Jobs:
    """A cluster, a log group and the definition of a job."""

    def __init__(self, cloud: EmbeddedCloud) -> None:
        self.ecs, self.logs, self.ecr = cloud.client("ecs"), cloud.client("logs"), cloud.client("ecr")
        repository = self.ecr.create_repository(repositoryName="repository-job-target")["repository"]
        self.uri = repository["repositoryUri"]
        self.ecr.put_image(repositoryName="repository-job-target", imageManifest='{"schemaVersion": 2}', imageTag="1")
        self.ecs.create_cluster(clusterName="cluster")
        self.logs.create_log_group(logGroupName="/jobs")
        self.definition = self.define()

    def define(self, *, tag: str = "1", **container: Any) -> str:
        answer = self.ecs.register_task_definition(
            family="job",
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            containerDefinitions=[
                {
                    "name": "job",
                    "image": f"{self.uri}:{tag}",
                    "stopTimeout": 10,
                    "logConfiguration": {"logDriver": "awslogs", "options": OPTIONS},
                    **container,
                }
            ],
        )
        return str(answer["taskDefinition"]["taskDefinitionArn"])

    def run(self, *command: str, **changed: Any) -> str:
        request = {
            "cluster": "cluster",
            "taskDefinition": self.definition,
            "launchType": "FARGATE",
            "networkConfiguration": NETWORK,
            "overrides": {"containerOverrides": [{"name": "job", "command": list(command)}]},
        }
        return str(self.ecs.run_task(**request | changed)["tasks"][0]["taskArn"])

    def task(self, arn: str) -> dict[str, Any]:
        task: dict[str, Any] = self.ecs.describe_tasks(cluster="cluster", tasks=[arn])["tasks"][0]
        return task

    def until(self, arn: str, status: str) -> dict[str, Any]:
        deadline = time.monotonic() + SECONDS
        while (task := self.task(arn))["lastStatus"] != status:
            assert time.monotonic() < deadline, json.dumps(task, default=str)
            time.sleep(0.02)
        return task

    def said(self, arn: str) -> list[str]:
        stream = f"s/job/{arn.rpartition('/')[2]}"
        events = self.logs.get_log_events(logGroupName="/jobs", logStreamName=stream, startFromHead=True)["events"]
        return [event["message"] for event in events]


@pytest.fixture
def jobs(cloud: EmbeddedCloud) -> Iterator[Jobs]:
    yield Jobs(cloud)
    cloud.reset()


@pytest.mark.parametrize("code", [0, 3])
def test_a_task_runs_its_command_to_the_end_and_tells_the_exit_code(jobs: Jobs, code: int) -> None:
    stopped = jobs.until(jobs.run("say", str(code), "1"), "STOPPED")
    assert stopped["containers"][0]["exitCode"] == code
    assert stopped["stopCode"] == "EssentialContainerExited"


def test_the_log_is_whole_when_the_task_has_stopped(jobs: Jobs) -> None:
    arn = jobs.run("say", "0", "60000")
    jobs.until(arn, "STOPPED")
    # At once: nobody forwards anything later.
    assert (
        jobs.logs.get_log_events(logGroupName="/jobs", logStreamName=f"s/job/{arn.rpartition('/')[2]}", limit=2)[
            "events"
        ][-1]["message"]
        == "no line end"
    )


def test_a_task_that_is_stopped_gets_sigterm_and_time_to_end(jobs: Jobs) -> None:
    arn = jobs.run("wait")
    jobs.until(arn, "RUNNING")
    deadline = time.monotonic() + SECONDS
    while not has_log(jobs, arn):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    jobs.ecs.stop_task(cluster="cluster", task=arn, reason="enough")
    stopped = jobs.until(arn, "STOPPED")
    assert stopped["containers"][0]["exitCode"] == 130
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("UserInitiated", "enough")


def has_log(jobs: Jobs, arn: str) -> bool:
    try:
        return "waiting" in jobs.said(arn)
    except jobs.logs.exceptions.ResourceNotFoundException:
        return False


def test_a_container_has_a_directory_of_its_own_that_goes_with_it(jobs: Jobs) -> None:
    first, second = jobs.run("where"), jobs.run("where")
    places = set()
    for arn in (first, second):
        jobs.until(arn, "STOPPED")
        working, temporary = jobs.said(arn)[0].split()
        assert working == temporary
        assert not Path(working).exists()
        places.add(working)
    assert len(places) == 2


def test_a_container_finds_the_programs_that_its_image_has(jobs: Jobs) -> None:
    arn = jobs.run("programs")
    jobs.until(arn, "STOPPED")
    assert jobs.said(arn) == ["/somewhere/bin"]


def test_an_image_that_is_missing_stops_the_task_before_it_began(jobs: Jobs) -> None:
    stopped = jobs.until(jobs.run("say", "0", "1", taskDefinition=jobs.define(tag="2")), "STOPPED")
    assert stopped["stopCode"] == "TaskFailedToStart"
    assert "CannotPullContainerError" in stopped["stoppedReason"]
    assert "exitCode" not in stopped["containers"][0]


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        ({"cluster": "another"}, "ClusterNotFoundException", "Cluster not found"),
        ({"networkConfiguration": {}}, "InvalidParameterException", "Network Configuration must be provided"),
        (
            {"overrides": {"containerOverrides": [{"name": "other", "command": ["say"]}]}},
            "InvalidParameterException",
            "container named other is not a container in the TaskDefinition",
        ),
    ],
)
def test_what_aws_would_refuse_is_refused(jobs: Jobs, changed: dict[str, Any], code: str, words: str) -> None:
    with pytest.raises(ClientError, match=words) as refused:
        jobs.run("say", "0", "1", **changed)
    assert refused.value.response["Error"]["Code"] == code


def test_a_cluster_with_a_running_task_is_not_deleted(jobs: Jobs) -> None:
    arn = jobs.run("wait")
    jobs.until(arn, "RUNNING")
    with pytest.raises(ClientError, match="cannot be deleted while Tasks are active"):
        jobs.ecs.delete_cluster(cluster="cluster")
    jobs.ecs.stop_task(cluster="cluster", task=arn)
    jobs.until(arn, "STOPPED")
    jobs.ecs.delete_cluster(cluster="cluster")


def template(jobs: Jobs, **volume: Any) -> str:
    container = {
        "Name": "job",
        "Image": f"{jobs.uri}:1",
        "LinuxParameters": {"Capabilities": {}, "InitProcessEnabled": True},
        "MountPoints": [{"ContainerPath": "/scratch", "ReadOnly": False, "SourceVolume": "scratch"}],
    }
    properties = {
        "Cpu": "256",
        "Memory": "512",
        "NetworkMode": "awsvpc",
        "RequiresCompatibilities": ["FARGATE"],
        "ContainerDefinitions": [container],
        "Volumes": [{"Name": "scratch", **volume}],
    }
    return json.dumps({"Resources": {"Job": {"Type": "AWS::ECS::TaskDefinition", "Properties": properties}}})


def deployed(cloud: EmbeddedCloud, body: str) -> str:
    cloudformation = cloud.client("cloudformation")
    cloudformation.create_stack(StackName="jobs", TemplateBody=body)
    deadline = time.monotonic() + SECONDS
    while (status := cloudformation.describe_stacks(StackName="jobs")["Stacks"][0]["StackStatus"]).endswith("PROGRESS"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return str(status)


def test_a_definition_may_have_an_empty_volume(cloud: EmbeddedCloud, jobs: Jobs) -> None:
    assert deployed(cloud, template(jobs)) == "CREATE_COMPLETE"
    arns = jobs.ecs.list_task_definitions(familyPrefix="jobs-Job", sort="DESC")["taskDefinitionArns"]
    definition = jobs.ecs.describe_task_definition(taskDefinition=arns[0])["taskDefinition"]
    (mounted,) = definition["containerDefinitions"][0]["mountPoints"]
    assert mounted == {"containerPath": "/scratch", "readOnly": False, "sourceVolume": "scratch"}


def test_any_other_volume_is_refused(cloud: EmbeddedCloud, jobs: Jobs) -> None:
    body = template(jobs, EFSVolumeConfiguration={"FilesystemId": "fs-1"})
    assert deployed(cloud, body) == "ROLLBACK_COMPLETE"
    events = cloud.client("cloudformation").describe_stack_events(StackName="jobs")["StackEvents"]
    assert any("only an empty volume" in event.get("ResourceStatusReason", "") for event in events)
