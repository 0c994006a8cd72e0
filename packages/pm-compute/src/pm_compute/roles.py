"""Roles of ECS tasks: what a container may do, and what ECS needs to start it."""

from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from pm_core import resource_name
from pm_core.cdk import acknowledge


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRole:
    """A role for tasks and the one policy that it has.

    Attributes:
        role: Trusts ECS tasks alone.
        policy: Whatever starts a task waits for it, or the first task could start without it.
    """

    role: iam.Role
    policy: iam.ManagedPolicy


def task_role(
    scope: Construct,
    construct_id: str,
    *,
    environment: str,
    suffix: str,
    qualifier: str,
    description: str,
    statements: Sequence[iam.PolicyStatement],
) -> TaskRole:
    """A role that tasks may take, named ``role-<qualifier>-<environment>-<suffix>``, and its policy."""
    role = iam.Role(
        scope,
        construct_id,
        role_name=resource_name("role", environment, suffix, qualifier=qualifier),
        description=description,
        assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"),
    )
    policy = iam.ManagedPolicy(
        scope,
        f"{construct_id}Policy",
        managed_policy_name=resource_name("policy", environment, suffix, qualifier=qualifier),
        description=description,
        roles=[role],
        statements=list(statements),
    )
    return TaskRole(role=role, policy=policy)


def execution_role(
    scope: Construct,
    *,
    environment: str,
    suffix: str,
    program: str,
    description: str,
    repository_arn: str,
    log_group: logs.ILogGroup,
) -> TaskRole:
    """What ECS itself needs: to pull from one repository and to write one log group.

    Source: Amazon ECS developer guide, "Amazon ECS task execution IAM role".
    """
    made = task_role(
        scope,
        "ExecutionRole",
        environment=environment,
        suffix=suffix,
        qualifier=f"{program}-execution",
        description=description,
        statements=[
            iam.PolicyStatement(
                sid="Pull",
                actions=["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                resources=[repository_arn],
            ),
            iam.PolicyStatement(sid="LogIn", actions=["ecr:GetAuthorizationToken"], resources=["*"]),
            iam.PolicyStatement(
                sid="Log",
                actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                resources=[log_group.log_group_arn],
            ),
        ],
    )
    acknowledge(
        made.policy,
        "AwsSolutions-IAM5[Resource::*]",
        reason="ecr:GetAuthorizationToken takes no resource: the token is the account's, and what it may be used "
        "for is the one repository of the other statement.",
    )
    return made
