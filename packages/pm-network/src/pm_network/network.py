"""PaymentNetwork: one environment's VPC and everything in it that other tiers place themselves into."""

from dataclasses import dataclass
from ipaddress import IPv4Network
from math import ceil, log2
from typing import Literal, cast

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from pm_core import NetworkContract, resource_name
from pm_core.cdk import CustomerKey, acknowledge, acknowledge_lint, encrypted_log_group
from pm_network.default_group import DefaultGroup
from pm_network.security_groups import SecurityGroups

SubnetKind = Literal["public", "private", "isolated"]

_SUBNETS: dict[SubnetKind, ec2.SubnetType] = {
    "public": ec2.SubnetType.PUBLIC,
    "private": ec2.SubnetType.PRIVATE_WITH_EGRESS,
    "isolated": ec2.SubnetType.PRIVATE_ISOLATED,
}
# A load balancer refuses subnets smaller than this. Source: ELBv2, "Subnets for your load balancer".
_SMALLEST_SUBNET = 27

# What tasks, functions and the replication instance in private subnets call.
_INTERFACE_ENDPOINTS = {
    "EcrApi": ec2.InterfaceVpcEndpointAwsService.ECR,
    "EcrDocker": ec2.InterfaceVpcEndpointAwsService.ECR_DOCKER,
    "Logs": ec2.InterfaceVpcEndpointAwsService.CLOUDWATCH_LOGS,
    "SecretsManager": ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
    "Kms": ec2.InterfaceVpcEndpointAwsService.KMS,
    "Ssm": ec2.InterfaceVpcEndpointAwsService.SSM,
    "Sts": ec2.InterfaceVpcEndpointAwsService.STS,
}


class NetworkPropsError(ValueError):
    """Props that AWS would refuse at deployment; the message says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentNetworkProps:
    """What a network needs to know; checked before any construct exists.

    Attributes:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        cidr: IPv4 range of the VPC, shared out evenly between the subnets.
        availability_zones: Names of two or three zones; each gets one public, one private and one isolated subnet.
        nat_gateways: How many NAT gateways serve the private subnets, at most one per zone.
        log_retention_days: Retention of the flow log.

    Raises:
        NetworkPropsError: A subnet would be too small for a load balancer, or a zone would get two NAT gateways.

    Source: AWS::EC2::VPC, AWS::ElasticLoadBalancingV2::LoadBalancer Subnets.
    """

    environment: str
    suffix: str
    cidr: str
    availability_zones: tuple[str, ...]
    nat_gateways: int = 1
    log_retention_days: int = 30

    def __post_init__(self) -> None:
        zones = len(self.availability_zones)
        subnet_prefix = IPv4Network(self.cidr).prefixlen + ceil(log2(len(_SUBNETS) * zones))
        if subnet_prefix > _SMALLEST_SUBNET:
            largest = _SMALLEST_SUBNET - ceil(log2(len(_SUBNETS) * zones))
            raise NetworkPropsError(
                f"{self.environment}.cidr {self.cidr} leaves /{subnet_prefix} to each subnet of {zones} zones, a load "
                f"balancer needs /{_SMALLEST_SUBNET}: use a /{largest} or larger"
            )
        if self.nat_gateways > zones:
            raise NetworkPropsError(
                f"{self.environment}.natGateways {self.nat_gateways} is more than the {zones} availability zones: "
                "one per zone is the most that is of use"
            )


class PaymentNetwork(Construct):
    """VPC, subnets, NAT, endpoints, flow log and security groups of one environment.

    Attributes:
        vpc: The network.
        security_groups: Who may talk to whom, group to group.
        key: Encrypts the logs.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: PaymentNetworkProps) -> None:
        super().__init__(scope, construct_id)
        self._props = props
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            vpc_name=resource_name("vpc", props.environment, props.suffix),
            ip_addresses=ec2.IpAddresses.cidr(props.cidr),
            availability_zones=list(props.availability_zones),
            nat_gateways=props.nat_gateways,
            subnet_configuration=[
                ec2.SubnetConfiguration(name=kind, subnet_type=subnet_type, map_public_ip_on_launch=False)
                if kind == "public"
                else ec2.SubnetConfiguration(name=kind, subnet_type=subnet_type)
                for kind, subnet_type in _SUBNETS.items()
            ],
            # CDK would close the default group with a Node function; DefaultGroup does it with one of ours.
            restrict_default_security_group=False,
        )
        for kind in _SUBNETS:
            for index, subnet in enumerate(self._subnets(kind), start=1):
                name = resource_name("vpc", props.environment, props.suffix, qualifier=f"{kind}-{index}")
                cdk.Tags.of(subnet).add("Name", name, priority=200)
                acknowledge_lint(
                    cast(ec2.CfnSubnet, subnet.node.default_child),
                    "W3010",
                    reason="The zones are a setting, so that synthesis asks no account for them and both environments "
                    "share them: traffic between peered networks stays inside a zone.",
                )
        for subnet in self.vpc.public_subnets:
            acknowledge(
                subnet.node.find_child("DefaultRoute"),
                "PCI.DSS.321-VPCNoUnrestrictedRouteToIGW",
                "NIST.800.53.R5-VPCNoUnrestrictedRouteToIGW",
                reason="A public subnet: it holds the internet-facing load balancer and the NAT gateways alone; "
                "tasks, functions and replication are in private subnets, databases in isolated ones.",
            )
        self.key = self._flow_log()
        self.security_groups = SecurityGroups(
            self, "SecurityGroups", vpc=self.vpc, environment=props.environment, suffix=props.suffix
        )
        self._endpoints()
        DefaultGroup(
            self,
            "DefaultGroup",
            vpc=self.vpc,
            environment=props.environment,
            suffix=props.suffix,
            key=self.key,
            log_retention_days=props.log_retention_days,
        )

    @property
    def contract(self) -> NetworkContract:
        """What the other tiers need to place themselves into this network."""
        groups = self.security_groups
        return NetworkContract(
            vpc_id=self.vpc.vpc_id,
            vpc_cidr=self._props.cidr,
            availability_zones=self._props.availability_zones,
            public_subnet_ids=tuple(subnet.subnet_id for subnet in self._subnets("public")),
            private_subnet_ids=tuple(subnet.subnet_id for subnet in self._subnets("private")),
            isolated_subnet_ids=tuple(subnet.subnet_id for subnet in self._subnets("isolated")),
            database_security_group_id=groups.database.security_group_id,
            service_security_group_id=groups.service.security_group_id,
            load_balancer_security_group_id=groups.load_balancer.security_group_id,
            private_route_table_ids=tuple(subnet.route_table.route_table_id for subnet in self._subnets("private")),
            isolated_route_table_ids=tuple(subnet.route_table.route_table_id for subnet in self._subnets("isolated")),
            replication_security_group_id=groups.replication.security_group_id,
            function_security_group_id=groups.functions.security_group_id,
            operator_security_group_id=groups.operator.security_group_id,
        )

    def _subnets(self, kind: SubnetKind) -> list[ec2.ISubnet]:
        return self.vpc.select_subnets(subnet_type=_SUBNETS[kind]).subnets

    def _flow_log(self) -> CustomerKey:
        props = self._props
        key = CustomerKey(
            self,
            "Key",
            environment=props.environment,
            suffix=props.suffix,
            qualifier="network",
            description=f"Logs of the {props.environment} network",
        )
        group = encrypted_log_group(
            self,
            "FlowLogGroup",
            name=resource_name("log-group", props.environment, props.suffix, qualifier="flow-log"),
            key=key,
            retention_days=props.log_retention_days,
        )
        role = iam.Role(
            self,
            "FlowLogRole",
            role_name=resource_name("role", props.environment, props.suffix, qualifier="flow-log"),
            description="VPC flow logs are written to their log group",
            assumed_by=iam.ServicePrincipal("vpc-flow-logs.amazonaws.com"),
        )
        policy = iam.ManagedPolicy(
            self,
            "FlowLogPolicy",
            managed_policy_name=resource_name("policy", props.environment, props.suffix, qualifier="flow-log"),
            description="VPC flow logs are written to their log group",
            roles=[role],
            statements=[
                iam.PolicyStatement(
                    # Source: VPC user guide, "IAM role for publishing flow logs to CloudWatch Logs".
                    actions=["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
                    resources=[group.log_group_arn],
                )
            ],
        )
        flow_log = ec2.CfnFlowLog(
            self,
            "FlowLog",
            resource_id=self.vpc.vpc_id,
            resource_type="VPC",
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_group_name=group.log_group_name,
            deliver_logs_permission_arn=role.role_arn,
            max_aggregation_interval=60,
        )
        flow_log.node.add_dependency(policy)
        return key

    def _endpoints(self) -> None:
        private = ec2.SubnetSelection(subnet_type=_SUBNETS["private"])
        isolated = ec2.SubnetSelection(subnet_type=_SUBNETS["isolated"])
        self.vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3, subnets=[private, isolated])
        for construct_id, service in _INTERFACE_ENDPOINTS.items():
            self.vpc.add_interface_endpoint(
                construct_id,
                service=service,
                subnets=private,
                security_groups=[self.security_groups.endpoints],
                open=False,
            )
