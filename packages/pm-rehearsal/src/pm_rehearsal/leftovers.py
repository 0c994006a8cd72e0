"""What an account holds, asked of each service's own API, so that `destroy` can be proven to leave nothing."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

ClientFactory = Callable[..., Any]
Identifiers = Iterator[str]
Lister = Callable[[Any], Identifiers]
Resource = Mapping[str, Any]


def inventory(client: ClientFactory, *, regions: tuple[str, ...]) -> set[str]:
    """Every resource of the kinds that our templates make, and what services make for them: ``<region> <kind> <id>``.

    Args:
        client: ``client(service, region=...)`` gives a boto3 client.
        regions: Where to look.
    """
    found: set[str] = set()
    for region in regions:
        for kind, (service, lister) in {**LISTERS, **MADE_BY_SERVICES}.items():
            found.update(f"{region} {kind} {identifier}" for identifier in lister(client(service, region=region)))
    return found


def _pages(api: Any, operation: str, key: str, **arguments: Any) -> Iterator[Any]:
    if api.can_paginate(operation):
        for page in api.get_paginator(operation).paginate(**arguments):
            yield from page.get(key) or ()
    else:
        yield from getattr(api, operation)(**arguments).get(key) or ()


def _listed(
    operation: str, key: str, identifier: str | None, *, alive: Callable[[Any], bool] = bool, **arguments: Any
) -> Lister:
    """A lister of one call.

    Args:
        operation: Of boto3's client.
        key: Where its answer holds the resources.
        identifier: The field of a resource that names it; None where the resource is its name.
        alive: Whether a resource counts: some services show what was deleted for a while.
        arguments: Of the call.
    """

    def lister(api: Any) -> Identifiers:
        for resource in _pages(api, operation, key, **arguments):
            if alive(resource):
                yield resource if identifier is None else resource[identifier]

    return lister


def _routes(api: Any) -> Identifiers:
    for table in _pages(api, "describe_route_tables", "RouteTables"):
        for route in table["Routes"]:
            if route.get("GatewayId") != "local":
                destination = next(value for name, value in route.items() if name.startswith("Destination"))
                yield f"{table['RouteTableId']} {destination}"


def _keys(api: Any) -> Identifiers:
    for key in _pages(api, "list_keys", "Keys"):
        metadata = api.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
        # A deleted key waits out its days as PendingDeletion on AWS: it costs nothing and cannot be hurried.
        if metadata["KeyState"] != "PendingDeletion" and metadata["KeyManager"] == "CUSTOMER":
            yield key["KeyId"]


def _of_clusters(operation: str, key: str) -> Lister:
    def lister(api: Any) -> Identifiers:
        for cluster in _pages(api, "list_clusters", "clusterArns"):
            yield from _pages(api, operation, key, cluster=cluster)

    return lister


def _records(api: Any) -> Identifiers:
    for zone in _pages(api, "list_hosted_zones", "HostedZones"):
        for record in _pages(api, "list_resource_record_sets", "ResourceRecordSets", HostedZoneId=zone["Id"]):
            if record["Type"] not in {"NS", "SOA"}:  # a zone comes with these
                yield f"{record['Name']} {record['Type']} {record.get('SetIdentifier', '')}".rstrip()


def _not_deleted(state: str) -> Callable[[Resource], bool]:
    return lambda resource: resource[state] != "deleted"


# By CloudFormation's type: the service that is asked, and how.
LISTERS: Mapping[str, tuple[str, Lister]] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": (
        "application-autoscaling",
        _listed("describe_scalable_targets", "ScalableTargets", "ResourceId", ServiceNamespace="ecs"),
    ),
    "AWS::CertificateManager::Certificate": (
        "acm",
        _listed("list_certificates", "CertificateSummaryList", "CertificateArn"),
    ),
    "AWS::CloudFormation::Stack": (
        "cloudformation",
        _listed(
            "describe_stacks", "Stacks", "StackName", alive=lambda stack: stack["StackStatus"] != "DELETE_COMPLETE"
        ),
    ),
    "AWS::CloudWatch::Alarm": (
        "cloudwatch",
        _listed("describe_alarms", "MetricAlarms", "AlarmName", AlarmTypes=["MetricAlarm"]),
    ),
    "AWS::CloudWatch::CompositeAlarm": (
        "cloudwatch",
        _listed("describe_alarms", "CompositeAlarms", "AlarmName", AlarmTypes=["CompositeAlarm"]),
    ),
    "AWS::CloudWatch::Dashboard": ("cloudwatch", _listed("list_dashboards", "DashboardEntries", "DashboardName")),
    "AWS::DMS::Endpoint": ("dms", _listed("describe_endpoints", "Endpoints", "EndpointIdentifier")),
    "AWS::DMS::EventSubscription": (
        "dms",
        _listed("describe_event_subscriptions", "EventSubscriptionsList", "CustSubscriptionId"),
    ),
    "AWS::DMS::ReplicationInstance": (
        "dms",
        _listed("describe_replication_instances", "ReplicationInstances", "ReplicationInstanceIdentifier"),
    ),
    "AWS::DMS::ReplicationSubnetGroup": (
        "dms",
        _listed("describe_replication_subnet_groups", "ReplicationSubnetGroups", "ReplicationSubnetGroupIdentifier"),
    ),
    "AWS::DMS::ReplicationTask": (
        "dms",
        _listed("describe_replication_tasks", "ReplicationTasks", "ReplicationTaskIdentifier", WithoutSettings=True),
    ),
    "AWS::EC2::EIP": ("ec2", _listed("describe_addresses", "Addresses", "AllocationId")),
    "AWS::EC2::FlowLog": ("ec2", _listed("describe_flow_logs", "FlowLogs", "FlowLogId")),
    "AWS::EC2::InternetGateway": (
        "ec2",
        _listed("describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    ),
    "AWS::EC2::NatGateway": (
        "ec2",
        _listed("describe_nat_gateways", "NatGateways", "NatGatewayId", alive=_not_deleted("State")),
    ),
    "AWS::EC2::Route": ("ec2", _routes),
    "AWS::EC2::RouteTable": ("ec2", _listed("describe_route_tables", "RouteTables", "RouteTableId")),
    "AWS::EC2::SecurityGroup": ("ec2", _listed("describe_security_groups", "SecurityGroups", "GroupId")),
    "AWS::EC2::SecurityGroupEgress": (
        "ec2",
        _listed(
            "describe_security_group_rules",
            "SecurityGroupRules",
            "SecurityGroupRuleId",
            alive=lambda rule: rule["IsEgress"],
        ),
    ),
    "AWS::EC2::SecurityGroupIngress": (
        "ec2",
        _listed(
            "describe_security_group_rules",
            "SecurityGroupRules",
            "SecurityGroupRuleId",
            alive=lambda rule: not rule["IsEgress"],
        ),
    ),
    "AWS::EC2::Subnet": ("ec2", _listed("describe_subnets", "Subnets", "SubnetId")),
    "AWS::EC2::VPC": ("ec2", _listed("describe_vpcs", "Vpcs", "VpcId")),
    "AWS::EC2::VPCEndpoint": (
        "ec2",
        _listed("describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId", alive=_not_deleted("State")),
    ),
    "AWS::EC2::VPCPeeringConnection": (
        "ec2",
        _listed(
            "describe_vpc_peering_connections",
            "VpcPeeringConnections",
            "VpcPeeringConnectionId",
            alive=lambda peering: peering["Status"]["Code"] != "deleted",
        ),
    ),
    "AWS::ECR::Repository": ("ecr", _listed("describe_repositories", "repositories", "repositoryName")),
    "AWS::ECS::Cluster": ("ecs", _listed("list_clusters", "clusterArns", None)),
    "AWS::ECS::Service": ("ecs", _of_clusters("list_services", "serviceArns")),
    "AWS::ECS::TaskDefinition": ("ecs", _listed("list_task_definitions", "taskDefinitionArns", None, status="ACTIVE")),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": (
        "elbv2",
        _listed("describe_load_balancers", "LoadBalancers", "LoadBalancerName"),
    ),
    "AWS::ElasticLoadBalancingV2::TargetGroup": (
        "elbv2",
        _listed("describe_target_groups", "TargetGroups", "TargetGroupName"),
    ),
    "AWS::Events::Rule": ("events", _listed("list_rules", "Rules", "Name", alive=lambda rule: "ManagedBy" not in rule)),
    "AWS::IAM::ManagedPolicy": ("iam", _listed("list_policies", "Policies", "PolicyName", Scope="Local")),
    "AWS::IAM::Role": ("iam", _listed("list_roles", "Roles", "RoleName")),
    "AWS::KMS::Alias": (
        "kms",
        _listed(
            "list_aliases", "Aliases", "AliasName", alive=lambda alias: not alias["AliasName"].startswith("alias/aws/")
        ),
    ),
    "AWS::KMS::Key": ("kms", _keys),
    "AWS::Lambda::Function": ("lambda", _listed("list_functions", "Functions", "FunctionName")),
    "AWS::Logs::LogGroup": ("logs", _listed("describe_log_groups", "logGroups", "logGroupName")),
    "AWS::RDS::DBInstance": ("rds", _listed("describe_db_instances", "DBInstances", "DBInstanceIdentifier")),
    "AWS::RDS::DBParameterGroup": (
        "rds",
        _listed("describe_db_parameter_groups", "DBParameterGroups", "DBParameterGroupName"),
    ),
    "AWS::RDS::DBSubnetGroup": ("rds", _listed("describe_db_subnet_groups", "DBSubnetGroups", "DBSubnetGroupName")),
    "AWS::RDS::EventSubscription": (
        "rds",
        _listed("describe_event_subscriptions", "EventSubscriptionsList", "CustSubscriptionId"),
    ),
    "AWS::Route53::HealthCheck": ("route53", _listed("list_health_checks", "HealthChecks", "Id")),
    "AWS::Route53::HostedZone": ("route53", _listed("list_hosted_zones", "HostedZones", "Name")),
    "AWS::Route53::RecordSet": ("route53", _records),
    "AWS::S3::Bucket": ("s3", _listed("list_buckets", "Buckets", "Name")),
    "AWS::SNS::Subscription": ("sns", _listed("list_subscriptions", "Subscriptions", "SubscriptionArn")),
    "AWS::SNS::Topic": ("sns", _listed("list_topics", "Topics", "TopicArn")),
    "AWS::SSM::Parameter": ("ssm", _listed("describe_parameters", "Parameters", "Name")),
    "AWS::SecretsManager::Secret": (
        "secretsmanager",
        _listed("list_secrets", "SecretList", "Name", IncludePlannedDeletion=True),
    ),
}

# What no template names and a service makes for what one does.
MADE_BY_SERVICES: Mapping[str, tuple[str, Lister]] = {
    "AWS::EC2::NetworkInterface": (
        "ec2",
        _listed("describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"),
    ),
    "AWS::ECS::Task": ("ecs", _of_clusters("list_tasks", "taskArns")),
    "AWS::RDS::DBSnapshot": ("rds", _listed("describe_db_snapshots", "DBSnapshots", "DBSnapshotIdentifier")),
}

# What is a part of something else, which the service deletes with it, or does not delete before it.
PARTS: Mapping[str, str] = {
    "AWS::ApplicationAutoScaling::ScalingPolicy": "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::EC2::SubnetRouteTableAssociation": "AWS::EC2::RouteTable",
    "AWS::EC2::VPCGatewayAttachment": "AWS::EC2::InternetGateway",
    "AWS::ElasticLoadBalancingV2::Listener": "AWS::ElasticLoadBalancingV2::LoadBalancer",
    "AWS::Lambda::Url": "AWS::Lambda::Function",
    "AWS::S3::BucketPolicy": "AWS::S3::Bucket",
    "AWS::SNS::TopicPolicy": "AWS::SNS::Topic",
    "AWS::SecretsManager::RotationSchedule": "AWS::SecretsManager::Secret",
    "AWS::SecretsManager::SecretTargetAttachment": "AWS::SecretsManager::Secret",
}
