"""PaymentNetwork's template."""

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Match, Template

from pm_network import NetworkPropsError, PaymentNetwork, PaymentNetworkProps

CONTEXT = json.loads((Path(__file__).parents[3] / "cdk.json").read_text())["context"]
ZONES = ("us-east-1a", "us-east-1b")
# Who works in the database and calls AWS APIs.
CALLERS = ("service", "replication", "functions", "operator")


def props(**changed: Any) -> PaymentNetworkProps:
    return PaymentNetworkProps(
        **{"environment": "source", "suffix": "t1", "cidr": "10.10.0.0/16", "availability_zones": ZONES} | changed
    )


def stack_with(network: PaymentNetworkProps) -> tuple[cdk.Stack, PaymentNetwork]:
    stack = cdk.Stack(cdk.App(context=CONTEXT), "network-source", env=cdk.Environment(region="us-east-1"))
    return stack, PaymentNetwork(stack, "Network", props=network)


@pytest.fixture(scope="module")
def made() -> tuple[Template, PaymentNetwork]:
    stack, network = stack_with(props())
    return Template.from_stack(stack), network


@pytest.fixture(scope="module")
def template(made: tuple[Template, PaymentNetwork]) -> Template:
    return made[0]


def resources(template: Template, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = template.find_resources(kind)
    return {name: resource["Properties"] for name, resource in found.items()}


def test_each_zone_has_a_public_a_private_and_an_isolated_subnet(template: Template) -> None:
    subnets = resources(template, "AWS::EC2::Subnet").values()
    placed = {
        (next(tag["Value"] for tag in subnet["Tags"] if tag["Key"] == "Name"), subnet["AvailabilityZone"])
        for subnet in subnets
    }
    assert placed == {
        (f"vpc-{kind}-{index}-source-t1", zone)
        for kind in ("public", "private", "isolated")
        for index, zone in enumerate(ZONES, start=1)
    }


def test_no_subnet_hands_out_public_addresses(template: Template) -> None:
    assert not any(subnet["MapPublicIpOnLaunch"] for subnet in resources(template, "AWS::EC2::Subnet").values())


def test_isolated_subnets_have_no_way_out(template: Template) -> None:
    # Two public default routes, two private ones through NAT, none for the isolated tables.
    routes = resources(template, "AWS::EC2::Route").values()
    assert len(routes) == 2 * len(ZONES)
    assert not any("isolated" in json.dumps(route["RouteTableId"]) for route in routes)


@pytest.mark.parametrize("count", [1, 2])
def test_nat_gateways_are_as_many_as_set(count: int) -> None:
    stack, _ = stack_with(props(nat_gateways=count))
    Template.from_stack(stack).resource_count_is("AWS::EC2::NatGateway", count)


def test_flow_log_is_encrypted_kept_for_a_time_and_covers_all_traffic(template: Template) -> None:
    template.has_resource_properties("AWS::EC2::FlowLog", {"TrafficType": "ALL", "ResourceType": "VPC"})
    template.has_resource(
        "AWS::Logs::LogGroup",
        {
            "Properties": {
                "LogGroupName": "log-group-flow-log-source-t1",
                "RetentionInDays": 30,
                "KmsKeyId": Match.any_value(),
            },
            "DeletionPolicy": "Delete",
        },
    )
    template.has_resource_properties("AWS::KMS::Key", {"EnableKeyRotation": True})


def test_key_serves_the_flow_log_and_no_other_log_group(template: Template) -> None:
    template.has_resource_properties(
        "AWS::KMS::Key",
        {
            "KeyPolicy": {
                "Statement": Match.array_with(
                    [
                        Match.object_like(
                            {
                                "Principal": {"Service": "logs.us-east-1.amazonaws.com"},
                                "Condition": {
                                    "ArnEquals": {
                                        "kms:EncryptionContext:aws:logs:arn": Match.object_like(
                                            {
                                                "Fn::Join": [
                                                    "",
                                                    Match.array_with([":log-group:log-group-flow-log-source-t1"]),
                                                ]
                                            }
                                        )
                                    }
                                },
                            }
                        )
                    ]
                )
            }
        },
    )


def test_private_subnets_reach_the_aws_apis_without_nat(template: Template) -> None:
    endpoints = resources(template, "AWS::EC2::VPCEndpoint").values()
    interfaces = {
        endpoint["ServiceName"].removeprefix("com.amazonaws.us-east-1.")
        for endpoint in endpoints
        if endpoint["VpcEndpointType"] == "Interface" and endpoint["PrivateDnsEnabled"]
    }
    assert interfaces == {"ecr.api", "ecr.dkr", "logs", "secretsmanager", "kms", "ssm", "sts"}
    gateway = next(endpoint for endpoint in endpoints if endpoint["VpcEndpointType"] == "Gateway")
    assert len(gateway["RouteTableIds"]) == 2 * len(ZONES)


def _group_name(template: Template, reference: Any) -> str:
    logical_id = reference["Fn::GetAtt"][0]
    name: str = resources(template, "AWS::EC2::SecurityGroup")[logical_id]["GroupName"]
    return name.removeprefix("security-group-").removesuffix("-source-t1")


def test_groups_admit_only_whom_they_serve(template: Template) -> None:
    admitted = {
        (_group_name(template, rule["SourceSecurityGroupId"]), _group_name(template, rule["GroupId"]), rule["FromPort"])
        for rule in resources(template, "AWS::EC2::SecurityGroupIngress").values()
    }
    assert admitted == {
        ("load-balancer", "service", 8080),
        *((caller, "database", 5432) for caller in CALLERS),
        *((caller, "endpoints", 443) for caller in CALLERS),
    }


def test_only_the_load_balancer_is_open_to_the_world_and_only_for_http(template: Template) -> None:
    open_to_world = {
        (group["GroupName"], rule["FromPort"], rule["ToPort"])
        for group in resources(template, "AWS::EC2::SecurityGroup").values()
        for rule in group.get("SecurityGroupIngress", ())
        if rule["CidrIp"] == "0.0.0.0/0"
    }
    name = "security-group-load-balancer-source-t1"
    assert open_to_world == {(name, 443, 443), (name, 80, 80)}


def test_database_reaches_nothing(template: Template) -> None:
    groups = resources(template, "AWS::EC2::SecurityGroup")
    logical_id, database = next(item for item in groups.items() if "database" in item[1]["GroupName"])
    # EC2 opens a group without any egress rule to the world; CDK writes one that matches no host.
    assert [rule["CidrIp"] for rule in database["SecurityGroupEgress"]] == ["255.255.255.255/32"]
    egress = resources(template, "AWS::EC2::SecurityGroupEgress").values()
    assert not any(rule["GroupId"]["Fn::GetAtt"][0] == logical_id for rule in egress)


def test_no_group_admits_an_address_range_but_the_load_balancer_s(template: Template) -> None:
    for name, group in resources(template, "AWS::EC2::SecurityGroup").items():
        assert "LoadBalancer" in name or "SecurityGroupIngress" not in group
    assert all(
        "SourceSecurityGroupId" in rule for rule in resources(template, "AWS::EC2::SecurityGroupIngress").values()
    )


def test_default_group_is_closed_when_the_network_is_made(template: Template) -> None:
    (closed,) = resources(template, "Custom::ClosedDefaultGroup").values()
    assert closed["GroupId"]["Fn::GetAtt"][1] == "DefaultSecurityGroup"
    (function,) = resources(template, "AWS::Lambda::Function").values()
    assert function["Runtime"].startswith("python")
    assert function["FunctionName"] == "function-default-group-source-t1"


def test_every_log_group_of_a_function_is_declared_encrypted_and_kept_for_a_time(template: Template) -> None:
    groups = resources(template, "AWS::Logs::LogGroup").values()
    assert {group["LogGroupName"] for group in groups} == {
        "log-group-flow-log-source-t1",
        "/aws/lambda/function-default-group-source-t1",
    }
    assert all(group["KmsKeyId"] and group["RetentionInDays"] == 30 for group in groups)


def test_nothing_is_exported(template: Template) -> None:
    assert "Export" not in json.dumps(template.to_json())


def test_vpc_keeps_its_logical_id(template: Template) -> None:
    # Another id would replace the network under a running migration.
    assert list(resources(template, "AWS::EC2::VPC")) == ["NetworkVpc7FB7348F"]


def test_contract_names_the_group_of_whoever_is_placed_into_the_network(made: tuple[Template, PaymentNetwork]) -> None:
    template, network = made
    stack = cdk.Stack.of(network)
    groups = {
        field: _group_name(template, stack.resolve(getattr(network.contract, field)))
        for field in network.contract.field_names()
        if field.endswith("_security_group_id")
    }
    assert groups == {
        "database_security_group_id": "database",
        "service_security_group_id": "service",
        "load_balancer_security_group_id": "load-balancer",
        "replication_security_group_id": "replication",
        "function_security_group_id": "functions",
        "operator_security_group_id": "operator",
    }


def test_nobody_reaches_the_tasks_that_run_pm(template: Template) -> None:
    groups = resources(template, "AWS::EC2::SecurityGroup")
    logical_id = next(name for name, group in groups.items() if "-operator-" in group["GroupName"])
    assert "SecurityGroupIngress" not in groups[logical_id]
    rules = resources(template, "AWS::EC2::SecurityGroupIngress").values()
    assert not any(rule["GroupId"]["Fn::GetAtt"][0] == logical_id for rule in rules)


def test_contract_lists_subnets_in_the_order_of_zones(made: tuple[Template, PaymentNetwork]) -> None:
    contract = made[1].contract
    assert contract.availability_zones == ZONES
    assert contract.vpc_cidr == "10.10.0.0/16"
    for one_per_zone in (
        contract.public_subnet_ids,
        contract.private_subnet_ids,
        contract.isolated_subnet_ids,
        contract.private_route_table_ids,
        contract.isolated_route_table_ids,
    ):
        assert len(one_per_zone) == len(set(one_per_zone)) == len(ZONES)


def test_subnets_too_small_for_a_load_balancer_are_refused() -> None:
    with pytest.raises(NetworkPropsError, match=r"source\.cidr 10\.0\.0\.0/24 leaves /28.*use a /23"):
        props(cidr="10.0.0.0/24", availability_zones=(*ZONES, "us-east-1c"))


def test_more_nat_gateways_than_zones_are_refused() -> None:
    with pytest.raises(NetworkPropsError, match="more than the 2 availability zones"):
        props(nat_gateways=3)
