"""EnvironmentLink's template."""

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from pm_replication import EnvironmentLink, EnvironmentLinkProps, LinkedNetwork


def end(name: str, cidr: str, *clients: str) -> LinkedNetwork:
    return LinkedNetwork(
        name=name,
        vpc_id=f"vpc-{name}",
        cidr=cidr,
        route_table_ids=(f"rtb-{name}-private", f"rtb-{name}-isolated"),
        database_security_group_id=f"sg-{name}-database",
        client_security_group_ids={client: f"sg-{name}-{client}" for client in clients},
    )


@pytest.fixture(scope="module")
def template() -> Template:
    stack = cdk.Stack(cdk.App(), "Link")
    props = EnvironmentLinkProps(
        environment="target",
        suffix="t1",
        source=end("source", "10.10.0.0/16", "Service"),
        target=end("target", "10.20.0.0/16", "Service", "Replication"),
    )
    EnvironmentLink(stack, "Link", props=props)
    return Template.from_stack(stack)


def test_networks_are_peered(template: Template) -> None:
    template.has_resource_properties(
        "AWS::EC2::VPCPeeringConnection", {"VpcId": "vpc-source", "PeerVpcId": "vpc-target"}
    )


def test_both_sides_have_routes_to_each_other(template: Template) -> None:
    (peering,) = template.find_resources("AWS::EC2::VPCPeeringConnection")
    routes = [route["Properties"] for route in template.find_resources("AWS::EC2::Route").values()]
    assert {(route["RouteTableId"], route["DestinationCidrBlock"]) for route in routes} == {
        ("rtb-source-private", "10.20.0.0/16"),
        ("rtb-source-isolated", "10.20.0.0/16"),
        ("rtb-target-private", "10.10.0.0/16"),
        ("rtb-target-isolated", "10.10.0.0/16"),
    }
    assert all(route["VpcPeeringConnectionId"] == {"Ref": peering} for route in routes)


def test_clients_reach_the_other_side_s_database_and_nothing_else(template: Template) -> None:
    rules = [rule["Properties"] for rule in template.find_resources("AWS::EC2::SecurityGroupIngress").values()]
    assert {(rule["SourceSecurityGroupId"], rule["GroupId"], rule["FromPort"], rule["ToPort"]) for rule in rules} == {
        ("sg-source-Service", "sg-target-database", 5432, 5432),
        ("sg-target-Service", "sg-source-database", 5432, 5432),
        ("sg-target-Replication", "sg-source-database", 5432, 5432),
    }
    out = [rule["Properties"] for rule in template.find_resources("AWS::EC2::SecurityGroupEgress").values()]
    assert {(rule["GroupId"], rule["DestinationSecurityGroupId"]) for rule in out} == {
        (rule["SourceSecurityGroupId"], rule["GroupId"]) for rule in rules
    }


def test_rules_across_the_peering_wait_for_it(template: Template) -> None:
    (peering,) = template.find_resources("AWS::EC2::VPCPeeringConnection")
    for kind in ("AWS::EC2::SecurityGroupIngress", "AWS::EC2::SecurityGroupEgress"):
        for rule in template.find_resources(kind).values():
            assert rule["DependsOn"] == [peering]
