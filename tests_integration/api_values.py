"""What each service takes where its API lists values: CloudFormation hands strings on that its own schema takes."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
from botocore.model import Shape

# What CloudFormation calls to make a resource; properties and the call's parameters have the same names.
CALLS = {
    "AWS::ApplicationAutoScaling::ScalableTarget": ("application-autoscaling", "RegisterScalableTarget"),
    "AWS::ApplicationAutoScaling::ScalingPolicy": ("application-autoscaling", "PutScalingPolicy"),
    "AWS::CertificateManager::Certificate": ("acm", "RequestCertificate"),
    "AWS::CloudWatch::Alarm": ("cloudwatch", "PutMetricAlarm"),
    "AWS::DMS::Endpoint": ("dms", "CreateEndpoint"),
    "AWS::DMS::ReplicationTask": ("dms", "CreateReplicationTask"),
    "AWS::EC2::FlowLog": ("ec2", "CreateFlowLogs"),
    "AWS::EC2::VPCEndpoint": ("ec2", "CreateVpcEndpoint"),
    "AWS::ECR::Repository": ("ecr", "CreateRepository"),
    "AWS::ECS::Service": ("ecs", "CreateService"),
    "AWS::ECS::TaskDefinition": ("ecs", "RegisterTaskDefinition"),
    "AWS::ElasticLoadBalancingV2::Listener": ("elbv2", "CreateListener"),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": ("elbv2", "CreateLoadBalancer"),
    "AWS::ElasticLoadBalancingV2::TargetGroup": ("elbv2", "CreateTargetGroup"),
    "AWS::Lambda::Function": ("lambda", "CreateFunction"),
    "AWS::Lambda::Url": ("lambda", "CreateFunctionUrlConfig"),
    "AWS::Route53::HealthCheck": ("route53", "CreateHealthCheck"),
    "AWS::SSM::Parameter": ("ssm", "PutParameter"),
}


@cache
def _session() -> Any:
    return botocore.session.Session()


@cache
def _parameters(kind: str) -> Shape:
    service, operation = CALLS[kind]
    shape: Shape = _session().get_service_model(service).operation_model(operation).input_shape
    return shape


def listed_values(kind: str, properties: dict[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    """Each property for which the API lists what it takes: its path, its value, the list."""
    yield from _listed(properties, _parameters(kind), "")


def _listed(value: Any, shape: Any, path: str) -> Iterator[tuple[str, str, list[str]]]:
    if shape.type_name == "structure" and isinstance(value, dict):
        members = {name.lower(): member for name, member in shape.members.items()}
        for name, inner in value.items():
            if name.lower() in members:
                yield from _listed(inner, members[name.lower()], f"{path}.{name}")
    elif shape.type_name == "list" and isinstance(value, list):
        for item in value:
            yield from _listed(item, shape.member, path)
    elif shape.type_name == "string" and shape.enum and isinstance(value, str):
        yield path, value, shape.enum
