"""Stops running tasks before CloudFormation deletes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

_CODE = Path(__file__).parent / "task_stopper_function"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStopperProps:
    """What the task stopper needs to know.

    Attributes:
        task_arns: The replication tasks to stop.
        function_name: Name of the Lambda function; its log group is ``/aws/lambda/<function_name>``.
        role_name: Name of the function's role.
        key: Encrypts the log group; its policy must admit CloudWatch Logs for that log group.
        log_retention_days: Retention of the log group.
    """

    task_arns: Sequence[str]
    function_name: str
    role_name: str
    key: kms.IKey
    log_retention_days: int


class TaskStopper(Construct):
    """A custom resource that does nothing until it is deleted, and then stops the tasks and waits until they are.

    It refers to the tasks, so CloudFormation deletes it before them; DMS refuses to delete a running task.

    Source: AWS::CloudFormation::CustomResource.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: TaskStopperProps) -> None:
        super().__init__(scope, construct_id)
        log_group = logs.CfnLogGroup(
            self,
            "Logs",
            log_group_name=f"/aws/lambda/{props.function_name}",
            retention_in_days=props.log_retention_days,
            kms_key_id=props.key.key_arn,
        )
        log_group.apply_removal_policy(cdk.RemovalPolicy.DESTROY)
        role = iam.Role(
            self,
            "Role",
            role_name=props.role_name,
            description="Stops replication tasks when their stack is deleted",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            inline_policies={
                "stop-tasks": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(
                            sid="Stop", actions=["dms:StopReplicationTask"], resources=list(props.task_arns)
                        ),
                        iam.PolicyStatement(
                            sid="Describe",
                            actions=["dms:DescribeReplicationTasks"],
                            # DMS has no resource-level permission for this action.
                            resources=["*"],
                        ),
                        iam.PolicyStatement(
                            sid="Log",
                            actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                            resources=[log_group.attr_arn],
                        ),
                    ]
                )
            },
        )
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=props.function_name,
            description="Stops replication tasks when their stack is deleted",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="handler.handle",
            code=lambda_.Code.from_asset(str(_CODE), exclude=["__pycache__", "*.pyc"]),
            role=role,
            log_group=logs.LogGroup.from_log_group_name(self, "LogsByName", log_group.ref),
            timeout=cdk.Duration.minutes(14),
            memory_size=256,
        )
        # The function refers to its role, whose policies are inline: CDK's explicit dependency adds nothing.
        cast(cdk.CfnResource, self.function.node.default_child).add_deletion_override("DependsOn")
        self.resource = cdk.CustomResource(
            self,
            "Resource",
            resource_type="Custom::ReplicationTaskStopper",
            service_token=self.function.function_arn,
            service_timeout=cdk.Duration.minutes(15),
            properties={"TaskArns": list(props.task_arns)},
        )
