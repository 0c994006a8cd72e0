"""ECS services as real processes behind a real load balancer."""

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import aiohttp
import pytest
from botocore.exceptions import ClientError, WaiterError

from pm_rehearsal.cloud.ecs.insights import FLUSH_SECONDS
from pm_rehearsal.cloud.launch import EmbeddedCloud
from pm_rehearsal.resolver import Resolver

TINY_SERVER = Path(__file__).with_name("tiny_server.py")
SECONDS = 30.0


@pytest.fixture(scope="module")
def cloud():
    with EmbeddedCloud(images={"tiny": [sys.executable, str(TINY_SERVER)]}) as cloud:
        yield cloud


@pytest.fixture
def environment(cloud):
    environment = Environment(cloud)
    yield environment
    pids = environment.pids()
    cloud.reset()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()], "a reset leaves no process"


class Environment:
    """A registry with one image, a cluster, and a load balancer with a target group."""

    def __init__(self, cloud):
        self.cloud = cloud
        self.ecs, self.elb, self.ecr = cloud.client("ecs"), cloud.client("elbv2"), cloud.client("ecr")
        self.uri = self.ecr.create_repository(repositoryName="tiny-source")["repository"]["repositoryUri"]
        self.ecr.put_image(repositoryName="tiny-source", imageManifest='{"schemaVersion": 2}', imageTag="1")
        self.ecs.create_cluster(clusterName="cluster")
        balancer = self.elb.create_load_balancer(Name="balancer", Subnets=["subnet-1", "subnet-2"])["LoadBalancers"][0]
        self.balancer_arn, self.dns_name = balancer["LoadBalancerArn"], balancer["DNSName"]
        self.group = self.elb.create_target_group(
            Name="group",
            TargetType="ip",
            Protocol="HTTP",
            Port=8080,
            VpcId="vpc-1",
            HealthCheckPath="/health",
            HealthCheckIntervalSeconds=5,
        )["TargetGroups"][0]["TargetGroupArn"]
        self.elb.modify_target_group_attributes(
            TargetGroupArn=self.group, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "5"}]
        )
        self.elb.create_listener(
            LoadBalancerArn=self.balancer_arn,
            Port=80,
            Protocol="HTTP",
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.group}],
        )

    def define(self, *, tag="1", variables=(), **container):
        answer = self.ecs.register_task_definition(
            family="tiny",
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            containerDefinitions=[
                {
                    "name": "tiny",
                    "image": f"{self.uri}:{tag}",
                    "portMappings": [{"containerPort": 8080}],
                    "environment": [{"name": name, "value": value} for name, value in dict(variables).items()],
                    **container,
                }
            ],
        )
        return answer["taskDefinition"]["taskDefinitionArn"]

    def create(self, definition, *, desired=2, **settings):
        self.ecs.create_service(
            cluster="cluster",
            serviceName="service",
            taskDefinition=definition,
            desiredCount=desired,
            launchType="FARGATE",
            deploymentConfiguration={
                "minimumHealthyPercent": 100,
                "maximumPercent": 200,
                "deploymentCircuitBreaker": {"enable": True, "rollback": True},
            },
            loadBalancers=[{"targetGroupArn": self.group, "containerName": "tiny", "containerPort": 8080}],
            **settings,
        )

    def update(self, **changes):
        self.ecs.update_service(cluster="cluster", service="service", **changes)

    def service(self):
        return self.ecs.describe_services(cluster="cluster", services=["service"])["services"][0]

    def tasks(self, status="RUNNING"):
        arns = self.ecs.list_tasks(cluster="cluster", desiredStatus=status)["taskArns"]
        return self.ecs.describe_tasks(cluster="cluster", tasks=arns)["tasks"] if arns else []

    def pids(self):
        return [int(task["containers"][0]["runtimeId"]) for task in self.tasks() if task["lastStatus"] == "RUNNING"]

    def states(self):
        answer = self.elb.describe_target_health(TargetGroupArn=self.group)
        return Counter(item["TargetHealth"]["State"] for item in answer["TargetHealthDescriptions"])

    def until(self, condition, what):
        deadline = time.monotonic() + SECONDS
        while not (found := condition()):
            assert time.monotonic() < deadline, f"{what}: {json.dumps(self.service(), default=str, indent=1)}"
            time.sleep(0.05)
        return found

    def until_steady(self):
        def steady():
            service = self.service()
            return (
                len(service["deployments"]) == 1
                and service["deployments"][0]["rolloutState"] == "COMPLETED"
                and service["runningCount"] == service["desiredCount"]
            )

        self.until(steady, "steady")

    def total(self, name, statistic="Sum", *, namespace="AWS/ApplicationELB"):
        points = self.cloud.client("cloudwatch").get_metric_statistics(
            Namespace=namespace,
            MetricName=name,
            Dimensions=[{"Name": "LoadBalancer", "Value": self.balancer_arn.partition(":loadbalancer/")[2]}],
            StartTime=time.time() - 300,
            EndTime=time.time() + 60,
            Period=60,
            Statistics=[statistic],
        )["Datapoints"]
        return sum(point[statistic] for point in points)

    def address(self):
        endpoint = asyncio.run(Resolver(self.cloud.dns).resolve(self.dns_name))
        return f"http://{endpoint.host}:{endpoint.port}"

    def get(self, path="/"):
        async def ask(address):
            async with aiohttp.ClientSession() as session, session.get(address + path) as answer:
                return await answer.json()

        return asyncio.run(ask(self.address()))


class Load:
    """Requests at a rate on a thread of its own; ``results`` counts statuses, ``names`` who answered."""

    def __init__(self, address, *, rate=500):
        self.results, self.names = Counter(), Counter()
        self._address, self._rate = address, rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    async def _run(self):
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:
            started, pending = time.monotonic(), set()
            while not self._stop.is_set():
                due = int((time.monotonic() - started) * self._rate)
                for _ in range(due - sum(self.results.values()) - len(pending)):
                    request = asyncio.create_task(self._request(session))
                    pending.add(request)
                    request.add_done_callback(pending.discard)
                await asyncio.sleep(0.005)
            await asyncio.gather(*pending)

    async def _request(self, session):
        try:
            async with session.post(self._address + "/payments", data=b"{}") as answer:
                body = await answer.read()
                self.results[answer.status] += 1
                if answer.status == 200:
                    self.names[json.loads(body)["name"]] += 1
        except aiohttp.ClientError as error:
            self.results[type(error).__name__] += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def test_a_killed_task_is_replaced_and_its_load_is_carried_by_the_other(environment):
    environment.create(environment.define(variables={"NAME": "one"}))
    environment.until_steady()
    before = environment.pids()
    with Load(environment.address()) as load:
        time.sleep(1)
        os.kill(before[0], signal.SIGKILL)
        environment.until(lambda: len(environment.pids()) == 2 and before[0] not in environment.pids(), "replaced")
        environment.until(lambda: environment.states()["healthy"] == 2, "healthy again")
        time.sleep(0.5)
    failed = sum(load.results.values()) - load.results[200]
    assert load.results[200] > 500
    # Unavoidable: what was under way on a new connection to the killed process, whose fate nobody can know.
    assert failed <= 3, load.results
    stopped = environment.tasks("STOPPED")
    assert [task["stopCode"] for task in stopped] == ["EssentialContainerExited"]
    assert stopped[0]["containers"][0]["exitCode"] == 137


def test_a_rolling_deployment_fails_no_request(environment):
    environment.create(environment.define(variables={"NAME": "one"}))
    environment.until_steady()
    before = set(environment.pids())
    with Load(environment.address()) as load:
        time.sleep(0.5)
        environment.update(taskDefinition=environment.define(variables={"NAME": "two"}))
        environment.until_steady()
        middle = set(environment.pids())
        environment.update(forceNewDeployment=True)
        environment.until_steady()
        time.sleep(0.5)
    assert set(load.results) == {200}, load.results
    environment.until(lambda: environment.total("RequestCount") == load.results[200], "counted")
    assert environment.total("TargetConnectionErrorCount") == 0
    assert environment.total("RetriedRequestCount", namespace="PM/EmbeddedAWS") == 0, "not one that AWS would have lost"
    assert load.names["one"] > 100
    assert load.names["two"] > 100
    assert len({*before, *middle, *environment.pids()}) == 6
    assert environment.states() == {"healthy": 2}
    stopped = environment.tasks("STOPPED")
    assert {task["containers"][0]["exitCode"] for task in stopped} == {0}, "every old task ended by itself on SIGTERM"


def test_a_missing_image_fails_the_deployment_and_says_so(environment):
    environment.create(environment.define(tag="missing"))
    environment.until(lambda: environment.service()["deployments"][0]["rolloutState"] == "FAILED", "failed")
    assert "CannotPullContainerError" in environment.service()["deployments"][0]["rolloutStateReason"]
    reasons = {task["stoppedReason"] for task in environment.tasks("STOPPED")}
    assert all(reason.startswith("CannotPullContainerError") and "tiny-source:missing" in reason for reason in reasons)
    assert environment.service()["runningCount"] == 0


def test_a_failed_deployment_is_an_event(environment):
    cloud = environment.cloud
    queue = cloud.client("sqs").create_queue(QueueName="failures")["QueueUrl"]
    pattern = {"source": ["aws.ecs"], "detail": {"eventType": ["ERROR"]}}
    cloud.client("events").put_rule(Name="failures", EventPattern=json.dumps(pattern))
    target = {"Id": "queue", "Arn": f"arn:aws:sqs:us-east-1:{cloud.account}:failures"}
    cloud.client("events").put_targets(Rule="failures", Targets=[target])
    environment.create(environment.define(tag="missing"))
    environment.until(lambda: environment.service()["deployments"][0]["rolloutState"] == "FAILED", "failed")
    (message,) = cloud.client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
    event = json.loads(message["Body"])
    assert event["detail-type"] == "ECS Deployment State Change"
    assert event["resources"] == [environment.service()["serviceArn"]]
    assert event["detail"]["eventName"] == "SERVICE_DEPLOYMENT_FAILED"
    assert "CannotPullContainerError" in event["detail"]["reason"]


def test_a_deployment_that_crashes_is_rolled_back_while_the_old_one_serves(environment):
    first = environment.define(variables={"NAME": "one"})
    environment.create(first)
    environment.until_steady()
    before = set(environment.pids())
    with Load(environment.address(), rate=100) as load:
        environment.update(taskDefinition=environment.define(variables={"CRASH": "1"}))
        environment.until(lambda: environment.service()["taskDefinition"] == first, "rolled back")
        environment.until_steady()
    assert set(load.results) == {200}
    assert set(environment.pids()) == before
    assert any("crashed as asked" in event["message"] for event in environment.service()["events"])


def test_a_task_whose_health_check_fails_is_never_sent_requests(environment):
    environment.create(environment.define(variables={"NAME": "one"}))
    environment.until_steady()
    with Load(environment.address(), rate=100) as load:
        environment.update(taskDefinition=environment.define(variables={"NAME": "two", "BROKEN": "1"}))
        environment.until(lambda: len(environment.pids()) == 4, "new tasks beside the old ones")
        time.sleep(1)
    assert set(load.names) == {"one"}


def test_scaling_and_deletion_end_the_processes(environment):
    environment.create(environment.define())
    environment.until_steady()
    environment.update(desiredCount=0)
    environment.until(lambda: not environment.pids() and environment.service()["runningCount"] == 0, "scaled in")
    environment.update(desiredCount=1)
    environment.until_steady()
    pid = environment.pids()[0]
    environment.ecs.delete_service(cluster="cluster", service="service", force=True)
    assert environment.service()["status"] == "DRAINING"
    environment.ecs.get_waiter("services_inactive").wait(
        cluster="cluster", services=["service"], WaiterConfig={"Delay": 1, "MaxAttempts": 20}
    )
    assert not Path(f"/proc/{pid}").exists()
    assert environment.states() == {}


def test_a_container_gets_its_variables_and_secrets_and_nothing_of_ours(environment, monkeypatch):
    secrets = environment.cloud.client("secretsmanager")
    arn = secrets.create_secret(Name="tiny", SecretString='{"username": "u", "password": "p"}')["ARN"]
    definition = environment.define(
        variables={"NAME": "one", "PORT": "8080"}, secrets=[{"name": "DB_PASSWORD", "valueFrom": f"{arn}:password::"}]
    )
    environment.create(definition, desired=1)
    environment.until_steady()
    variables = environment.get("/environment")
    assert variables["DB_PASSWORD"] == "p"
    assert variables["NAME"] == "one"
    assert variables["PM_BIND"] == "127.0.0.1"
    assert variables["PORT"] != "8080"
    assert variables["AWS_ENDPOINT_URL"] == environment.cloud.endpoint
    assert variables["AWS_REGION"] == environment.cloud.region
    assert not [name for name in variables if name.startswith(("PM_CLOUD", "MINISTACK", "GATEWAY"))]


def test_output_arrives_in_the_log_group(environment):
    logs = environment.cloud.client("logs")
    logs.create_log_group(logGroupName="/tiny")
    options = {"awslogs-group": "/tiny", "awslogs-stream-prefix": "s", "awslogs-region": environment.cloud.region}
    definition = environment.define(logConfiguration={"logDriver": "awslogs", "options": options})
    environment.create(definition, desired=1)
    environment.until_steady()

    def lines():
        return [event["message"] for event in logs.filter_log_events(logGroupName="/tiny")["events"]]

    environment.until(lambda: any(line.startswith("serving ") for line in lines()), "logged")


def test_a_task_of_its_own_runs_to_its_end(environment):
    definition = environment.define(variables={"CRASH": "1"})
    network = {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}
    task = environment.ecs.run_task(
        cluster="cluster", taskDefinition=definition, launchType="FARGATE", networkConfiguration=network
    )["tasks"][0]
    waiter = environment.ecs.get_waiter("tasks_stopped")
    waiter.wait(cluster="cluster", tasks=[task["taskArn"]], WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    stopped = environment.ecs.describe_tasks(cluster="cluster", tasks=[task["taskArn"]])["tasks"][0]
    assert (stopped["stopCode"], stopped["containers"][0]["exitCode"]) == ("EssentialContainerExited", 1)


def test_request_counts_and_response_times_are_metrics(environment):
    environment.create(environment.define(), desired=1)
    environment.until_steady()
    for _ in range(3):
        environment.get()
    environment.until(lambda: environment.total("RequestCount", "Sum") == 3, "counted")
    assert environment.total("TargetResponseTime", "SampleCount") == 3
    assert environment.total("HTTPCode_Target_5XX_Count", "Sum") == 0


def template(environment, **service):
    return {
        "Resources": {
            "Definition": {
                "Type": "AWS::ECS::TaskDefinition",
                "Properties": {
                    "Cpu": "256",
                    "Memory": "512",
                    "NetworkMode": "awsvpc",
                    "RequiresCompatibilities": ["FARGATE"],
                    "ContainerDefinitions": [
                        {
                            "Name": "tiny",
                            "Image": f"{environment.uri}:{service.pop('tag', '1')}",
                            "PortMappings": [{"ContainerPort": 8080}],
                            "Environment": [{"Name": "NAME", "Value": service.pop("name", "one")}],
                        }
                    ],
                },
            },
            "Service": {
                "Type": "AWS::ECS::Service",
                "Properties": {
                    "Cluster": "cluster",
                    "ServiceName": "service",
                    "DesiredCount": 1,
                    "LaunchType": "FARGATE",
                    "TaskDefinition": {"Ref": "Definition"},
                    "DeploymentConfiguration": {
                        "MinimumHealthyPercent": 100,
                        "MaximumPercent": 200,
                        "DeploymentCircuitBreaker": {"Enable": True, "Rollback": True},
                    },
                    "LoadBalancers": [
                        {"ContainerName": "tiny", "ContainerPort": 8080, "TargetGroupArn": environment.group}
                    ],
                    **service,
                },
            },
        }
    }


def deploy(cloudformation, action, body):
    getattr(cloudformation, f"{action}_stack")(StackName="stack", TemplateBody=json.dumps(body))
    waiter = cloudformation.get_waiter(f"stack_{action}_complete")
    waiter.wait(StackName="stack", WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def test_cloudformation_waits_for_a_steady_service_and_removes_it(environment):
    cloudformation = environment.cloud.client("cloudformation")
    deploy(cloudformation, "create", template(environment))
    assert environment.service()["runningCount"] == 1
    assert environment.get()["name"] == "one"
    deploy(cloudformation, "update", template(environment, name="two"))
    assert environment.get()["name"] == "two"
    pids = environment.pids()
    cloudformation.delete_stack(StackName="stack")
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName="stack", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize(("given", "after"), [({}, 3), ({"DesiredCount": 1}, 1)])
def test_an_update_keeps_what_scaling_made_of_the_count_unless_the_template_gives_one(environment, given, after):
    cloudformation, scaling = (
        environment.cloud.client("cloudformation"),
        environment.cloud.client("application-autoscaling"),
    )
    body = template(environment, **given)
    if not given:
        del body["Resources"]["Service"]["Properties"]["DesiredCount"]
    deploy(cloudformation, "create", body)
    assert environment.service()["desiredCount"] == 1
    scaling.register_scalable_target(
        ServiceNamespace="ecs",
        ResourceId="service/cluster/service",
        ScalableDimension="ecs:service:DesiredCount",
        MinCapacity=3,
        MaxCapacity=4,
    )
    environment.until_steady()
    assert environment.service()["runningCount"] == 3
    body["Resources"]["Service"]["Properties"]["HealthCheckGracePeriodSeconds"] = 7
    deploy(cloudformation, "update", body)
    assert environment.service()["desiredCount"] == after


def test_cloudformation_fails_at_once_when_the_image_is_missing(environment):
    cloudformation = environment.cloud.client("cloudformation")
    with pytest.raises(WaiterError):
        deploy(cloudformation, "create", template(environment, tag="missing"))
    events = cloudformation.describe_stack_events(StackName="stack")["StackEvents"]
    reasons = [e["ResourceStatusReason"] for e in events if e["ResourceStatus"] == "CREATE_FAILED"]
    assert any("CannotPullContainerError" in reason and "tiny-source:missing" in reason for reason in reasons)


def test_a_property_without_effect_is_refused(environment):
    cloudformation = environment.cloud.client("cloudformation")
    with pytest.raises((WaiterError, ClientError)):
        deploy(cloudformation, "create", template(environment, ServiceConnectConfiguration={"Enabled": True}))
    events = cloudformation.describe_stack_events(StackName="stack")["StackEvents"]
    assert any("ServiceConnectConfiguration" in event.get("ResourceStatusReason", "") for event in events)


def test_no_process_outlives_a_killed_server():
    with EmbeddedCloud(images={"tiny": [sys.executable, str(TINY_SERVER)]}) as cloud:
        environment = Environment(cloud)
        environment.create(environment.define())
        environment.until_steady()
        pids = environment.pids()
        os.kill(cloud.pid, signal.SIGKILL)
        deadline = time.monotonic() + SECONDS
        while [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def insights_group_after_deletion(cloud, *, setting):
    ecs, logs = cloud.client("ecs"), cloud.client("logs")
    ecs.create_cluster(clusterName="watched", settings=[{"name": "containerInsights", "value": "enabled"}])
    ecs.update_cluster_settings(cluster="watched", settings=[{"name": "containerInsights", "value": setting}])
    (shown,) = ecs.describe_clusters(clusters=["watched"], include=["SETTINGS"])["clusters"]
    assert shown["settings"] == [{"name": "containerInsights", "value": setting}]
    ecs.delete_cluster(cluster="watched")
    time.sleep(FLUSH_SECONDS + 1)
    return [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]


@pytest.mark.usefixtures("environment")
def test_insights_of_a_deleted_cluster_come_late_unless_they_were_switched_off(cloud):
    assert insights_group_after_deletion(cloud, setting="disabled") == []
    late = "/aws/ecs/containerinsights/watched/performance"
    assert insights_group_after_deletion(cloud, setting="enabled") == [late]
