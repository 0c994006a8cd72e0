"""EnvironmentLink: the way between both environments' networks, for as long as the migration lasts."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from pm_core import resource_name

POSTGRES_PORT = 5432


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedNetwork:
    """One end of the link.

    Attributes:
        name: source or target.
        vpc_id: The network.
        cidr: Its IPv4 range.
        route_table_ids: Tables of the subnets that use the link: private ones, and isolated ones for the replies.
        database_security_group_id: Group of the database.
        client_security_group_ids: Groups that reach the other end's database, by what they are of.
    """

    name: str
    vpc_id: str
    cidr: str
    route_table_ids: tuple[str, ...]
    database_security_group_id: str
    client_security_group_ids: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentLinkProps:
    """What the link needs to know.

    Attributes:
        environment: The environment whose stack owns the link.
        suffix: The deployment's environmentSuffix.
        source: One end.
        target: The other end, in the same account and region; its range does not overlap the source's.
    """

    environment: str
    suffix: str
    source: LinkedNetwork
    target: LinkedNetwork


class EnvironmentLink(Construct):
    """A peering connection, routes on both sides, and rules from each side's clients to the other side's database.

    Both environments' services follow the one open writer, wherever it is, so each reaches the other's database, and
    nothing else of it. Rules name groups across the peering, which EC2 accepts once the peering is active.

    Attributes:
        peering: The connection.

    Source: Amazon VPC peering guide, "Update your security groups to reference peer security groups".
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: EnvironmentLinkProps) -> None:
        super().__init__(scope, construct_id)
        source, target = props.source, props.target
        # Same account and region: the connection is active when CloudFormation says that it is made.
        self.peering = ec2.CfnVPCPeeringConnection(self, "Peering", vpc_id=source.vpc_id, peer_vpc_id=target.vpc_id)
        cdk.Tags.of(self.peering).add("Name", resource_name("peering", props.environment, props.suffix))
        for here, there in ((source, target), (target, source)):
            end = Construct(self, here.name.capitalize())
            for number, table in enumerate(here.route_table_ids, start=1):
                ec2.CfnRoute(
                    end,
                    f"Route{number}",
                    route_table_id=table,
                    destination_cidr_block=there.cidr,
                    vpc_peering_connection_id=self.peering.ref,
                )
            for client, group in here.client_security_group_ids.items():
                self._open(end, client, group, there)

    def _open(self, end: Construct, client: str, group: str, there: LinkedNetwork) -> None:
        description = f"{client} to the database of the {there.name}"
        egress = ec2.CfnSecurityGroupEgress(
            end,
            f"{client}Egress",
            group_id=group,
            destination_security_group_id=there.database_security_group_id,
            ip_protocol="tcp",
            from_port=POSTGRES_PORT,
            to_port=POSTGRES_PORT,
            description=description,
        )
        ingress = ec2.CfnSecurityGroupIngress(
            end,
            f"{client}Ingress",
            group_id=there.database_security_group_id,
            source_security_group_id=group,
            ip_protocol="tcp",
            from_port=POSTGRES_PORT,
            to_port=POSTGRES_PORT,
            description=description,
        )
        for rule in (egress, ingress):
            rule.add_resource_dependency(self.peering)
