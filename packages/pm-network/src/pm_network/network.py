"""PaymentNetwork: one environment's VPC and everything in it that other tiers place themselves into."""

from dataclasses import dataclass
from ipaddress import IPv4Network
from math import ceil, log2
from typing import Literal, cast

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from pm_core import NetworkContract, resource_name
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
        key: Encrypts the flow log.
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
            # CDK would close the default group with a Node function; nothing of ours is ever in that group.
            restrict_default_security_group=False,
        )
        for kind in _SUBNETS:
            for index, subnet in enumerate(self._subnets(kind), start=1):
                name = resource_name("vpc", props.environment, props.suffix, qualifier=f"{kind}-{index}")
                cdk.Tags.of(subnet).add("Name", name, priority=200)
        self.key = self._flow_log()
        self.security_groups = SecurityGroups(
            self, "SecurityGroups", vpc=self.vpc, environment=props.environment, suffix=props.suffix
        )
        self._endpoints()

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
            replication_security_group_id=groups.replication.security_group_id,
        )

    def _subnets(self, kind: SubnetKind) -> list[ec2.ISubnet]:
        return self.vpc.select_subnets(subnet_type=_SUBNETS[kind]).subnets

    def _flow_log(self) -> kms.Key:
        props = self._props
        stack = cdk.Stack.of(self)
        name = resource_name("log-group", props.environment, props.suffix, qualifier="flow-log")
        key = kms.Key(
            self,
            "Key",
            alias=f"alias/{resource_name('alias', props.environment, props.suffix, qualifier='network')}",
            description=f"Flow log of the {props.environment} network",
            enable_key_rotation=True,
            pending_window=cdk.Duration.days(7),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        group_arn = stack.format_arn(
            service="logs", resource="log-group", resource_name=name, arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME
        )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="EncryptFlowLog",
                principals=[iam.ServicePrincipal(f"logs.{stack.region}.amazonaws.com")],
                actions=["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
                resources=["*"],
                conditions={"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": group_arn}},
            )
        )
        group = logs.LogGroup(
            self, "FlowLogGroup", log_group_name=name, encryption_key=key, removal_policy=cdk.RemovalPolicy.DESTROY
        )
        cast(logs.CfnLogGroup, group.node.default_child).retention_in_days = props.log_retention_days
        role = iam.Role(
            self,
            "FlowLogRole",
            role_name=resource_name("role", props.environment, props.suffix, qualifier="flow-log"),
            assumed_by=iam.ServicePrincipal("vpc-flow-logs.amazonaws.com"),
        )
        self.vpc.add_flow_log("FlowLog", destination=ec2.FlowLogDestination.to_cloud_watch_logs(group, role))
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
