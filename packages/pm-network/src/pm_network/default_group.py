"""DefaultGroup: the security group that AWS gives every VPC, closed."""

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from pm_core.cdk import ResourceFunction, acknowledge
from pm_network.functions import FUNCTIONS

_TIMEOUT_SECONDS = 120


class DefaultGroup(Construct):
    """Takes every rule from the VPC's default security group.

    Whatever is launched without a group of its own lands in that one, where each may talk to each and to the world.

    Source: AWS Security Hub control EC2.2.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        vpc: ec2.Vpc,
        environment: str,
        suffix: str,
        key: kms.IKey,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        acknowledge(
            vpc,
            "PCI.DSS.321-VPCDefaultSecurityGroupClosed",
            "NIST.800.53.R5-VPCDefaultSecurityGroupClosed",
            reason="Closed by this custom resource, which runs when the VPC is made; a template cannot show it.",
        )
        group_id = vpc.vpc_default_security_group
        provider = ResourceFunction(
            self,
            "Provider",
            environment=environment,
            suffix=suffix,
            qualifier="default-group",
            code=FUNCTIONS,
            module="default_group",
            description="Closes the default security group of the network",
            key=key,
            log_retention_days=log_retention_days,
            timeout_seconds=_TIMEOUT_SECONDS,
            unnamed="ec2:DescribeSecurityGroups takes no resource: EC2 knows no ARN to narrow it to.",
        )
        group_arn = cdk.Stack.of(self).format_arn(service="ec2", resource="security-group", resource_name=group_id)
        provider.allow(
            iam.PolicyStatement(
                sid="Close",
                actions=["ec2:RevokeSecurityGroupIngress", "ec2:RevokeSecurityGroupEgress"],
                resources=[group_arn],
            ),
            # EC2 has no resource-level permission for this action.
            iam.PolicyStatement(sid="Look", actions=["ec2:DescribeSecurityGroups"], resources=["*"]),
        )
        self.resource = provider.resource(
            self,
            "Resource",
            kind="Custom::ClosedDefaultGroup",
            properties={"GroupId": group_id},
        )
