"""Lambda functions of ours, called by somebody who waits: CloudFormation for custom resources, or an operator.

What auditors ask of every function, and what it means for these: they run in a network only when they talk to something
there; they have no dead-letter queue, because the caller waits for an answer and sees a failure itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from pm_core.cdk.acknowledgements import acknowledge
from pm_core.cdk.log_groups import encrypted_log_group
from pm_core.cdk.packaging import function_code
from pm_core.names import resource_name

_WITHOUT_QUEUE = (
    "Whoever invokes the function waits for its answer, CloudFormation above all: a failed invocation fails what it "
    "was made for, which a queue that nobody reads would only hide."
)
_OUTSIDE_NETWORK = (
    "The function calls AWS APIs only, with its role's least privilege, and reaches nothing in the VPC; interfaces in "
    "the VPC would widen what it can reach and slow down the deletion of the network."
)
_OWN_LIMIT = (
    "CloudFormation makes one call at a time per resource, operators a few a minute; reserving concurrency would take "
    "it from the account's other functions, and a throttled custom resource leaves its stack stuck."
)
_INTERFACES = (
    "Lambda makes and removes its network interfaces with the function's role: they have no ARN before they exist, and "
    "the Describe actions take none."
)


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
    """A function of ours, with its role and its log group, whose caller waits for the answer.

    Args:
        scope: The parent.
        construct_id: The id.
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        qualifier: Tells the environment's functions apart; in the names of function, role and policy.
        code: Directory of the function modules, a Python package.
        module: The module with ``handle``; for a custom resource made by :func:`pm_core.custom_resources.answers`.
        variables: Environment variables; nothing secret.
        vendored: Installed pure Python distributions that the module imports beyond boto3; their own go along.
        description: What it does.
        key: Encrypts environment and log.
        log_retention_days: Retention of the log.
        timeout_seconds: Longest run, at most 900.
        placement: Where in a network it runs, if it talks to something there.
        asks_for_stack: Whether it asks how its stack is (``goes`` and ``stack_status`` of pm_core.custom_resources).
        unnamed: For auditors, why an action that :meth:`allow` gives names no resource, if one does.

    Attributes:
        function: The function.
        role: Its role.
        policy: What it may do.

    Source: AWS::Lambda::Function.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        environment: str,
        suffix: str,
        qualifier: str,
        code: Path,
        module: str,
        variables: Mapping[str, str] | None = None,
        vendored: Sequence[str] = (),
        description: str,
        key: kms.IKey,
        log_retention_days: int,
        timeout_seconds: int,
        placement: Placement | None = None,
        asks_for_stack: bool = False,
        unnamed: str | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._timeout_seconds = timeout_seconds
        name = resource_name("function", environment, suffix, qualifier=qualifier)
        log_group = encrypted_log_group(
            self, "Logs", name=f"/aws/lambda/{name}", key=key, retention_days=log_retention_days
        )
        self.role = iam.Role(
            self,
            "Role",
            role_name=resource_name("role", environment, suffix, qualifier=qualifier),
            description=description,
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
        )
        self.policy = iam.ManagedPolicy(
            self,
            "Policy",
            managed_policy_name=resource_name("policy", environment, suffix, qualifier=qualifier),
            description=description,
            roles=[self.role],
            statements=[
                iam.PolicyStatement(
                    sid="Log",
                    actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                    resources=[log_group.log_group_arn],
                )
            ],
        )
        if asks_for_stack:
            self.allow(
                iam.PolicyStatement(
                    sid="AskForTheStack", actions=["cloudformation:DescribeStacks"], resources=[cdk.Aws.STACK_ID]
                )
            )
        with function_code(code, vendored) as asset:
            function = lambda_.Function(
                self,
                "Function",
                function_name=name,
                description=description,
                runtime=lambda_.Runtime.PYTHON_3_14,
                architecture=lambda_.Architecture.ARM_64,
                handler=f"functions.{module}.handle",
                code=lambda_.Code.from_asset(str(asset)),
                # By its ARN: CDK would write a DependsOn next to the reference, and a policy of its own.
                role=iam.Role.from_role_arn(self, "RoleByArn", self.role.role_arn, mutable=False),
                memory_size=256,
                timeout=cdk.Duration.seconds(timeout_seconds),
                environment=variables,
                environment_encryption=key,
                log_group=log_group,
                logging_format=lambda_.LoggingFormat.JSON,
            )
        self.function: lambda_.IFunction = function
        self._function = cast(lambda_.CfnFunction, function.node.default_child)
        # A run may begin only once the role may do what it needs. A custom resource waits for all of it by naming the
        # function as its ServiceToken.
        function.node.add_dependency(self.policy)
        acknowledge(self._function, "NIST.800.53.R5-LambdaConcurrency", reason=_OWN_LIMIT)
        acknowledge(self._function, "NIST.800.53.R5-LambdaDLQ", reason=_WITHOUT_QUEUE)
        if placement is None:
            rules = ("NIST.800.53.R5-LambdaInsideVPC", "PCI.DSS.321-LambdaInsideVPC")
            acknowledge(self._function, *rules, reason=_OUTSIDE_NETWORK)
        else:
            self._place(placement)
        reasons = [reason for reason in (unnamed, None if placement is None else _INTERFACES) if reason is not None]
        if reasons:  # one finding, however many statements are in it
            acknowledge(self.policy, "AwsSolutions-IAM5[Resource::*]", reason=" ".join(reasons))

    def allow(self, *statements: iam.PolicyStatement) -> None:
        """Let the function do more; in a policy of its own, that the function waits for."""
        self.policy.add_statements(*statements)

    def resource(
        self, scope: Construct, construct_id: str, *, kind: str, properties: Mapping[str, object]
    ) -> cdk.CustomResource:
        """A custom resource that the function stands behind.

        Args:
            scope: Its parent.
            construct_id: Its id.
            kind: Its type, ``Custom::...``.
            properties: What the function gets.
        """
        return cdk.CustomResource(
            scope,
            construct_id,
            resource_type=kind,
            service_token=self.function.function_arn,
            # The function answers before its own timeout; CloudFormation's default would be an hour.
            service_timeout=cdk.Duration.seconds(self._timeout_seconds + 60),
            properties=properties,
        )

    def _place(self, placement: Placement) -> None:
        # The subnets are known at deployment only, which the L2 properties do not take without a full import.
        self._function.vpc_config = lambda_.CfnFunction.VpcConfigProperty(
            subnet_ids=list(placement.subnet_ids), security_group_ids=[placement.security_group.security_group_id]
        )
        self.allow(
            iam.PolicyStatement(
                sid="Interfaces",
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
        )
