"""StoppedTasks: tasks that somebody runs by hand do not keep their stack from being deleted."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from pm_compute.functions import FUNCTIONS
from pm_core.cdk import ResourceFunction, acknowledge_wildcard

# Longer than a task may take to end (120 s on Fargate) and its network interface to go.
_TIMEOUT_SECONDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppedTasksProps:
    """Which tasks.

    Attributes:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        cluster_name: Where they run.
        family: Family of their task definition.
        key: Encrypts the function's log.
        log_retention_days: Retention of the function's log.
    """

    environment: str
    suffix: str
    cluster_name: str
    family: str
    key: kms.IKey
    log_retention_days: int


class StoppedTasks(Construct):
    """Stops a family's tasks when the stack is deleted, and waits: a service does that for its own, nobody for these.

    A running task would hold on to its network interface, and so to security group, subnets and cluster. Depends on
    whatever such a task needs until its end.

    Attributes:
        resource: The custom resource.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: StoppedTasksProps) -> None:
        super().__init__(scope, construct_id)
        provider = ResourceFunction(
            self,
            "Provider",
            environment=props.environment,
            suffix=props.suffix,
            qualifier="stopped-tasks",
            code=FUNCTIONS,
            module="running_tasks",
            description="Stops tasks that run when their stack is deleted",
            key=props.key,
            log_retention_days=props.log_retention_days,
            timeout_seconds=_TIMEOUT_SECONDS,
            unnamed="ecs:ListTasks takes the ARN of a container instance only, which Fargate has none of; the "
            "condition narrows it to the one cluster.",
        )
        stack = cdk.Stack.of(self)
        cluster = stack.format_arn(service="ecs", resource="cluster", resource_name=props.cluster_name)
        tasks = stack.format_arn(service="ecs", resource="task", resource_name=f"{props.cluster_name}/*")
        provider.allow(
            # Across a cluster ECS lists for `*` alone; the condition says which cluster.
            iam.PolicyStatement(
                sid="Find",
                actions=["ecs:ListTasks"],
                resources=["*"],
                conditions={"ArnEquals": {"ecs:cluster": cluster}},
            ),
            iam.PolicyStatement(sid="Stop", actions=["ecs:DescribeTasks", "ecs:StopTask"], resources=[tasks]),
        )
        acknowledge_wildcard(provider.policy, tasks, "The id of a task is chosen when somebody runs it.")
        self.resource = provider.resource(
            self,
            "Resource",
            kind="Custom::StoppedTasks",
            properties={"Cluster": props.cluster_name, "Family": props.family},
        )
