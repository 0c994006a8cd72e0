"""One Lambda function that serves one kind of custom resource."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from pm_core import resource_name
from pm_data.encryption import encrypted_log_group
from pm_data.packaging import function_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where in a network a function runs.

    Attributes:
        subnet_ids: Subnets from which the AWS APIs can be reached.
        security_group: What the function may talk to.
    """

    subnet_ids: Sequence[str]
    security_group: ec2.ISecurityGroup


class ResourceFunction(Construct):
    """A function of ours, with its role and its log group, that CloudFormation calls for a custom resource.

    Attributes:
        function: The function.
        role: Its role; grant it what the resource needs.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        environment: str,
        suffix: str,
        qualifier: str,
        module: str,
        description: str,
        key: kms.IKey,
        log_retention_days: int,
        timeout_seconds: int,
        placement: Placement | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        name = resource_name("function", environment, suffix, qualifier=qualifier)
        log_group = encrypted_log_group(
            self, "Logs", name=f"/aws/lambda/{name}", key=key, retention_days=log_retention_days
        )
        self.role = iam.Role(
            self,
            "Role",
            role_name=resource_name("role", environment, suffix, qualifier=qualifier),
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
        )
        log_group.grant_write(self.role)
        with function_code() as code:
            self.function = lambda_.Function(
                self,
                "Function",
                function_name=name,
                description=description,
                runtime=lambda_.Runtime.PYTHON_3_13,
                architecture=lambda_.Architecture.ARM_64,
                handler=f"functions.{module}.handle",
                code=lambda_.Code.from_asset(str(code)),
                role=self.role,
                memory_size=256,
                timeout=cdk.Duration.seconds(timeout_seconds),
                environment_encryption=key,
                log_group=log_group,
                logging_format=lambda_.LoggingFormat.JSON,
            )
        if placement is not None:
            self._place(placement)

    def _place(self, placement: Placement) -> None:
        # The subnets are known at deployment only, which the L2 properties do not take without a full import.
        function = cast(lambda_.CfnFunction, self.function.node.default_child)
        function.vpc_config = lambda_.CfnFunction.VpcConfigProperty(
            subnet_ids=list(placement.subnet_ids), security_group_ids=[placement.security_group.security_group_id]
        )
        interfaces = iam.Policy(
            self,
            "Interfaces",
            roles=[self.role],
            statements=[
                iam.PolicyStatement(
                    # Lambda makes its network interfaces with the function's role; EC2 knows no ARN to narrow these to.
                    actions=[
                        "ec2:CreateNetworkInterface",
                        "ec2:DescribeNetworkInterfaces",
                        "ec2:DescribeSubnets",
                        "ec2:DeleteNetworkInterface",
                        "ec2:AssignPrivateIpAddresses",
                        "ec2:UnassignPrivateIpAddresses",
                    ],
                    resources=["*"],
                )
            ],
        )
        function.node.add_dependency(interfaces)
