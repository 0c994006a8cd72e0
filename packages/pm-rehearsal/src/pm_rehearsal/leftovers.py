"""What an account holds, asked of each service's own API, so that `destroy` can be proven to leave nothing."""

from collections.abc import Callable, Iterator
from typing import Any

ClientFactory = Callable[..., Any]


def inventory(client: ClientFactory, *, regions: tuple[str, ...]) -> set[str]:
    """Every resource of the kinds that our templates make, as ``<region> <kind> <id>``.

    Args:
        client: ``client(service, region=...)`` gives a boto3 client.
        regions: Where to look.
    """
    found: set[str] = set()
    for region in regions:
        for service, list_resources in _LISTS:
            for kind, identifier in list_resources(client(service, region=region)):
                found.add(f"{region} {kind} {identifier}")
    return found


def _pages(api: Any, operation: str, key: str, **arguments: Any) -> Iterator[Any]:
    if api.can_paginate(operation):
        for page in api.get_paginator(operation).paginate(**arguments):
            yield from page.get(key) or ()
    else:
        yield from getattr(api, operation)(**arguments).get(key) or ()


def _cloudformation(api: Any) -> Iterator[tuple[str, str]]:
    for stack in _pages(api, "describe_stacks", "Stacks"):
        if stack["StackStatus"] != "DELETE_COMPLETE":
            yield "stack", stack["StackName"]


def _ec2(api: Any) -> Iterator[tuple[str, str]]:
    for vpc in _pages(api, "describe_vpcs", "Vpcs"):
        yield "vpc", vpc["VpcId"]
    for subnet in _pages(api, "describe_subnets", "Subnets"):
        yield "subnet", subnet["SubnetId"]
    for group in _pages(api, "describe_security_groups", "SecurityGroups"):
        yield "security group", group["GroupId"]
    for gateway in _pages(api, "describe_nat_gateways", "NatGateways"):
        if gateway["State"] != "deleted":
            yield "NAT gateway", gateway["NatGatewayId"]
    for peering in _pages(api, "describe_vpc_peering_connections", "VpcPeeringConnections"):
        if peering["Status"]["Code"] != "deleted":
            yield "peering connection", peering["VpcPeeringConnectionId"]
    for address in _pages(api, "describe_addresses", "Addresses"):
        yield "elastic IP", address["AllocationId"]
    for endpoint in _pages(api, "describe_vpc_endpoints", "VpcEndpoints"):
        if endpoint["State"] != "deleted":
            yield "VPC endpoint", endpoint["VpcEndpointId"]
    for flow_log in _pages(api, "describe_flow_logs", "FlowLogs"):
        yield "flow log", flow_log["FlowLogId"]


def _rds(api: Any) -> Iterator[tuple[str, str]]:
    for instance in _pages(api, "describe_db_instances", "DBInstances"):
        yield "database", instance["DBInstanceIdentifier"]
    for group in _pages(api, "describe_db_subnet_groups", "DBSubnetGroups"):
        yield "database subnet group", group["DBSubnetGroupName"]
    for group in _pages(api, "describe_db_parameter_groups", "DBParameterGroups"):
        yield "database parameter group", group["DBParameterGroupName"]
    for snapshot in _pages(api, "describe_db_snapshots", "DBSnapshots"):
        yield "database snapshot", snapshot["DBSnapshotIdentifier"]


def _dms(api: Any) -> Iterator[tuple[str, str]]:
    for task in _pages(api, "describe_replication_tasks", "ReplicationTasks"):
        yield "replication task", task["ReplicationTaskIdentifier"]
    for endpoint in _pages(api, "describe_endpoints", "Endpoints"):
        yield "replication endpoint", endpoint["EndpointIdentifier"]
    for instance in _pages(api, "describe_replication_instances", "ReplicationInstances"):
        yield "replication instance", instance["ReplicationInstanceIdentifier"]


def _secrets(api: Any) -> Iterator[tuple[str, str]]:
    for secret in _pages(api, "list_secrets", "SecretList", IncludePlannedDeletion=True):
        yield "secret", secret["Name"]


def _s3(api: Any) -> Iterator[tuple[str, str]]:
    for bucket in api.list_buckets()["Buckets"]:
        yield "bucket", bucket["Name"]


def _logs(api: Any) -> Iterator[tuple[str, str]]:
    for group in _pages(api, "describe_log_groups", "logGroups"):
        yield "log group", group["logGroupName"]


def _kms(api: Any) -> Iterator[tuple[str, str]]:
    for key in _pages(api, "list_keys", "Keys"):
        metadata = api.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
        # A deleted key waits out its days as PendingDeletion on AWS: it costs nothing and cannot be hurried.
        if metadata["KeyState"] != "PendingDeletion" and metadata["KeyManager"] == "CUSTOMER":
            yield "key", key["KeyId"]
    for alias in _pages(api, "list_aliases", "Aliases"):
        if not alias["AliasName"].startswith("alias/aws/"):
            yield "key alias", alias["AliasName"]


def _iam(api: Any) -> Iterator[tuple[str, str]]:
    for role in _pages(api, "list_roles", "Roles"):
        yield "role", role["RoleName"]


def _ssm(api: Any) -> Iterator[tuple[str, str]]:
    for parameter in _pages(api, "describe_parameters", "Parameters"):
        yield "parameter", parameter["Name"]


def _ecr(api: Any) -> Iterator[tuple[str, str]]:
    for repository in _pages(api, "describe_repositories", "repositories"):
        yield "repository", repository["repositoryName"]


def _ecs(api: Any) -> Iterator[tuple[str, str]]:
    for cluster in _pages(api, "list_clusters", "clusterArns"):
        yield "cluster", cluster
    for definition in _pages(api, "list_task_definitions", "taskDefinitionArns", status="ACTIVE"):
        yield "task definition", definition


def _elbv2(api: Any) -> Iterator[tuple[str, str]]:
    for balancer in _pages(api, "describe_load_balancers", "LoadBalancers"):
        yield "load balancer", balancer["LoadBalancerName"]
    for group in _pages(api, "describe_target_groups", "TargetGroups"):
        yield "target group", group["TargetGroupName"]


def _route53(api: Any) -> Iterator[tuple[str, str]]:
    for zone in _pages(api, "list_hosted_zones", "HostedZones"):
        yield "hosted zone", zone["Name"]
    for check in _pages(api, "list_health_checks", "HealthChecks"):
        yield "health check", check["Id"]


def _cloudwatch(api: Any) -> Iterator[tuple[str, str]]:
    for alarm in _pages(api, "describe_alarms", "MetricAlarms"):
        yield "alarm", alarm["AlarmName"]
    for dashboard in _pages(api, "list_dashboards", "DashboardEntries"):
        yield "dashboard", dashboard["DashboardName"]


def _sns(api: Any) -> Iterator[tuple[str, str]]:
    for topic in _pages(api, "list_topics", "Topics"):
        yield "topic", topic["TopicArn"]


def _lambda(api: Any) -> Iterator[tuple[str, str]]:
    for function in _pages(api, "list_functions", "Functions"):
        yield "function", function["FunctionName"]


_LISTS: tuple[tuple[str, Callable[[Any], Iterator[tuple[str, str]]]], ...] = (
    ("cloudformation", _cloudformation),
    ("ec2", _ec2),
    ("rds", _rds),
    ("dms", _dms),
    ("secretsmanager", _secrets),
    ("s3", _s3),
    ("logs", _logs),
    ("kms", _kms),
    ("iam", _iam),
    ("ssm", _ssm),
    ("ecr", _ecr),
    ("ecs", _ecs),
    ("elbv2", _elbv2),
    ("route53", _route53),
    ("cloudwatch", _cloudwatch),
    ("sns", _sns),
    ("lambda", _lambda),
)
