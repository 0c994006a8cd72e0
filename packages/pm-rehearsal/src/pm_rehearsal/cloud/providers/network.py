"""EC2 types that MiniStack lacks: addresses, NAT gateways, flow logs, peering, and single rules of groups."""

from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Any, ClassVar

from pm_rehearsal.cloud.extension import Extension, Properties, Provider, Provisioned, UpdateHandler


def install(extension: Extension) -> None:
    """Add the types, and the attributes of a VPC that MiniStack leaves out."""
    for provider in (Address, NatGateway, FlowLog, PeeringConnection, Ingress, Egress):
        extension.provide(provider(extension))
    extension.wrap("AWS::EC2::VPC", create=_create_vpc, update=_update_vpc)


def _tagged(kind: str, properties: Properties) -> list[dict[str, Any]]:
    tags = properties.get("Tags")
    return [{"ResourceType": kind, "Tags": tags}] if tags else []


class _Ec2Provider(Provider):
    def __init__(self, extension: Extension) -> None:
        self._extension = extension

    @property
    def _ec2(self) -> Any:
        return self._extension.client("ec2")

    def _set_tags(self, identifier: str, old: Properties, new: Properties) -> None:
        kept = {tag["Key"] for tag in new.get("Tags", [])}
        removed = [{"Key": tag["Key"]} for tag in old.get("Tags", []) if tag["Key"] not in kept]
        if removed:
            self._ec2.delete_tags(Resources=[identifier], Tags=removed)
        if new.get("Tags"):
            self._ec2.create_tags(Resources=[identifier], Tags=new["Tags"])


class _Tagged(_Ec2Provider):
    """Nothing but its tags changes in place."""

    attribute: ClassVar[str] = "Id"

    def update(
        self, physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str
    ) -> Provisioned:
        """Change the tags."""
        del stack_name, logical_id
        self._set_tags(physical_id, old, new)
        return physical_id, {self.attribute: physical_id}


class Address(_Ec2Provider):
    """AWS::EC2::EIP; its physical id is the public IP address."""

    type_name = "AWS::EC2::EIP"
    properties = frozenset({"Domain", "Tags"})
    replace_on = frozenset({"Domain"})

    def create(self, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        """Allocate an address."""
        del logical_id, stack_name
        made = self._ec2.allocate_address(Domain="vpc", TagSpecifications=_tagged("elastic-ip", properties))
        return made["PublicIp"], {"AllocationId": made["AllocationId"], "PublicIp": made["PublicIp"]}

    def update(
        self, physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str
    ) -> Provisioned:
        """Change the tags."""
        del stack_name, logical_id
        allocation = self._allocation(physical_id)
        if allocation is None:
            raise ValueError(f"the address {physical_id} does not exist any more")
        self._set_tags(allocation, old, new)
        return physical_id, {"AllocationId": allocation, "PublicIp": physical_id}

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Release the address."""
        del properties
        allocation = self._allocation(physical_id)
        if allocation is not None:
            self._ec2.release_address(AllocationId=allocation)

    def _allocation(self, public_ip: str) -> str | None:
        addresses = self._ec2.describe_addresses()["Addresses"]
        return next((item["AllocationId"] for item in addresses if item["PublicIp"] == public_ip), None)


class NatGateway(_Tagged):
    """AWS::EC2::NatGateway."""

    type_name = "AWS::EC2::NatGateway"
    properties = frozenset({"AllocationId", "ConnectivityType", "SubnetId", "Tags"})
    replace_on = frozenset({"AllocationId", "ConnectivityType", "SubnetId"})
    attribute = "NatGatewayId"

    def create(self, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        """Create the gateway."""
        del logical_id, stack_name
        given = {name: properties[name] for name in self.properties - {"Tags"} if name in properties}
        made = self._ec2.create_nat_gateway(**given, TagSpecifications=_tagged("natgateway", properties))
        identifier = made["NatGateway"]["NatGatewayId"]
        return identifier, {self.attribute: identifier}

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Delete the gateway."""
        del properties
        self._ec2.delete_nat_gateway(NatGatewayId=physical_id)


class FlowLog(_Tagged):
    """AWS::EC2::FlowLog."""

    type_name = "AWS::EC2::FlowLog"
    properties = frozenset(
        {
            *("DeliverLogsPermissionArn", "LogDestination", "LogDestinationType", "LogFormat", "LogGroupName"),
            *("MaxAggregationInterval", "ResourceId", "ResourceType", "Tags", "TrafficType"),
        }
    )
    replace_on = properties - {"Tags"}

    def create(self, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        """Create the flow log."""
        del logical_id, stack_name
        given = {name: value for name, value in properties.items() if name not in {"ResourceId", "Tags"}}
        if "MaxAggregationInterval" in given:
            given["MaxAggregationInterval"] = int(given["MaxAggregationInterval"])
        made = self._ec2.create_flow_logs(
            ResourceIds=[properties["ResourceId"]],
            TagSpecifications=_tagged("vpc-flow-log", properties),
            **given,
        )
        if made.get("Unsuccessful"):
            raise ValueError(made["Unsuccessful"][0]["Error"]["Message"])
        identifier = made["FlowLogIds"][0]
        return identifier, {self.attribute: identifier}

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Delete the flow log."""
        del properties
        self._ec2.delete_flow_logs(FlowLogIds=[physical_id])


class PeeringConnection(_Tagged):
    """AWS::EC2::VPCPeeringConnection within one account and region, where making it is accepting it."""

    type_name = "AWS::EC2::VPCPeeringConnection"
    properties = frozenset({"PeerVpcId", "Tags", "VpcId"})
    replace_on = frozenset({"PeerVpcId", "VpcId"})

    def create(self, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        """Request and accept it, unless the two ranges overlap."""
        del logical_id, stack_name
        ends = [properties["VpcId"], properties["PeerVpcId"]]
        ranges = [IPv4Network(vpc["CidrBlock"]) for vpc in self._ec2.describe_vpcs(VpcIds=ends)["Vpcs"]]
        if len(ranges) != len(ends) or ranges[0].overlaps(ranges[1]):
            raise ValueError(f"{' and '.join(ends)} cannot be peered: both must exist and their CIDRs be disjoint")
        made = self._ec2.create_vpc_peering_connection(VpcId=ends[0], PeerVpcId=ends[1])
        identifier = made["VpcPeeringConnection"]["VpcPeeringConnectionId"]
        self._ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=identifier)
        self._set_tags(identifier, {}, properties)
        return identifier, {self.attribute: identifier}

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Delete the connection."""
        del properties
        self._ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=physical_id)


class _Rule(_Ec2Provider):
    """One rule of a security group; every change replaces it."""

    peer: ClassVar[str]

    def create(self, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        """Authorize the rule."""
        del logical_id, stack_name
        made = self._call("authorize")(GroupId=properties["GroupId"], IpPermissions=[self._permission(properties)])
        identifier = made["SecurityGroupRules"][0]["SecurityGroupRuleId"]
        return identifier, {"Id": identifier}

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Revoke the rule; a group that is gone took it along."""
        del physical_id
        groups = self._ec2.describe_security_groups()["SecurityGroups"]
        if properties["GroupId"] in {group["GroupId"] for group in groups}:
            self._call("revoke")(GroupId=properties["GroupId"], IpPermissions=[self._permission(properties)])

    def _call(self, verb: str) -> Callable[..., Any]:
        direction = "ingress" if self.type_name.endswith("Ingress") else "egress"
        call: Callable[..., Any] = getattr(self._ec2, f"{verb}_security_group_{direction}")
        return call

    def _permission(self, properties: Properties) -> dict[str, Any]:
        described = {"Description": properties["Description"]} if properties.get("Description") else {}
        permission: dict[str, Any] = {"IpProtocol": str(properties["IpProtocol"])}
        permission |= {name: int(properties[name]) for name in ("FromPort", "ToPort") if name in properties}
        peers = {
            "IpRanges": ("CidrIp", "CidrIp"),
            "Ipv6Ranges": ("CidrIpv6", "CidrIpv6"),
            "UserIdGroupPairs": (f"{self.peer}SecurityGroupId", "GroupId"),
            "PrefixListIds": (f"{self.peer}PrefixListId", "PrefixListId"),
        }
        for field, (name, key) in peers.items():
            if name in properties:
                permission[field] = [{key: properties[name], **described}]
        return permission


class Ingress(_Rule):
    """AWS::EC2::SecurityGroupIngress."""

    type_name = "AWS::EC2::SecurityGroupIngress"
    peer = "Source"
    properties = frozenset(
        {
            *("CidrIp", "CidrIpv6", "Description", "FromPort", "GroupId", "IpProtocol", "ToPort"),
            *("SourcePrefixListId", "SourceSecurityGroupId"),
        }
    )


class Egress(_Rule):
    """AWS::EC2::SecurityGroupEgress."""

    type_name = "AWS::EC2::SecurityGroupEgress"
    peer = "Destination"
    properties = frozenset(
        {
            *("CidrIp", "CidrIpv6", "Description", "FromPort", "GroupId", "IpProtocol", "ToPort"),
            *("DestinationPrefixListId", "DestinationSecurityGroupId"),
        }
    )


def _with_cidr(result: Provisioned, properties: Properties) -> Provisioned:
    physical_id, attributes = result
    return physical_id, attributes | {
        "CidrBlock": properties.get("CidrBlock"),
        "CidrBlockAssociations": [],
        "Ipv6CidrBlocks": [],
    }


def _create_vpc(
    original: Callable[..., Provisioned], logical_id: str, properties: Properties, stack: str
) -> Provisioned:
    return _with_cidr(original(logical_id, properties, stack), properties)


def _update_vpc(
    original: UpdateHandler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Provisioned:
    return _with_cidr(original(physical_id, old, new, stack, logical_id), new)
