"""Replication subnet groups and replication instances, and the tags of every resource."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from pm_rehearsal.cloud.dms.store import Attributes, Resource, Shelf, check, describe, resource_id
from pm_rehearsal.cloud.extension import Action, Extension, ServiceError

_CREATE_INSTANCE = (
    *("AllocatedStorage", "VpcSecurityGroupIds", "AvailabilityZone", "ReplicationSubnetGroupIdentifier"),
    *("PreferredMaintenanceWindow", "MultiAZ", "EngineVersion", "AutoMinorVersionUpgrade", "Tags", "KmsKeyId"),
    *("PubliclyAccessible", "ResourceIdentifier", "NetworkType"),
)
_MODIFY_INSTANCE = (
    *("AllocatedStorage", "ApplyImmediately", "ReplicationInstanceClass", "VpcSecurityGroupIds"),
    *("PreferredMaintenanceWindow", "MultiAZ", "EngineVersion", "AllowMajorVersionUpgrade"),
    *("AutoMinorVersionUpgrade", "ReplicationInstanceIdentifier", "NetworkType"),
)
_KEPT = (
    *("ReplicationInstanceClass", "AllocatedStorage", "AvailabilityZone", "PreferredMaintenanceWindow", "MultiAZ"),
    *("EngineVersion", "AutoMinorVersionUpgrade", "KmsKeyId", "PubliclyAccessible", "NetworkType"),
)
_DEFAULTS = {
    "AllocatedStorage": 50,
    "MultiAZ": False,
    "EngineVersion": "3.6.1",
    "AutoMinorVersionUpgrade": True,
    "PubliclyAccessible": True,
    "NetworkType": "IPV4",
}
PRIVATE_ADDRESS = "127.0.0.1"  # the mover runs here


class Infrastructure:
    """Subnet groups and instances.

    Args:
        extension: The running MiniStack.
        tags: Where tags are kept.
        in_use: Whether a task runs on the instance with this ARN.
    """

    def __init__(self, extension: Extension, *, tags: "Tags", in_use: Callable[[str], bool]) -> None:
        self._extension = extension
        self._tags = tags
        self._in_use = in_use
        self.groups: Shelf[Resource] = Shelf(
            extension.scope, what="replication subnet group", keys=("ReplicationSubnetGroupIdentifier",)
        )
        self.instances: Shelf[Resource] = Shelf(
            extension.scope,
            what="replication instance",
            keys=("ReplicationInstanceIdentifier", "ReplicationInstanceArn"),
        )

    def actions(self) -> dict[str, Action]:
        """By name."""
        return {
            "CreateReplicationSubnetGroup": self.create_group,
            "ModifyReplicationSubnetGroup": self.modify_group,
            "DeleteReplicationSubnetGroup": self.delete_group,
            "DescribeReplicationSubnetGroups": self.describe_groups,
            "CreateReplicationInstance": self.create_instance,
            "ModifyReplicationInstance": self.modify_instance,
            "DeleteReplicationInstance": self.delete_instance,
            "DescribeReplicationInstances": self.describe_instances,
        }

    def create_group(self, request: Attributes) -> Attributes:
        """CreateReplicationSubnetGroup."""
        check(
            request,
            required=("ReplicationSubnetGroupIdentifier", "ReplicationSubnetGroupDescription", "SubnetIds"),
            optional=("Tags",),
        )
        identifier = request["ReplicationSubnetGroupIdentifier"].lower()
        group = self.groups.add(
            Resource(
                {
                    "ReplicationSubnetGroupIdentifier": identifier,
                    "ReplicationSubnetGroupDescription": request["ReplicationSubnetGroupDescription"],
                    "SubnetGroupStatus": "Complete",
                    **self._subnets(request["SubnetIds"]),
                }
            )
        )
        self._tags.set(arn_of(self._extension, "subgrp", identifier), request.get("Tags") or [])
        return {"ReplicationSubnetGroup": group.attributes}

    def modify_group(self, request: Attributes) -> Attributes:
        """ModifyReplicationSubnetGroup."""
        check(
            request,
            required=("ReplicationSubnetGroupIdentifier", "SubnetIds"),
            optional=("ReplicationSubnetGroupDescription",),
        )
        group = self.groups.get(request["ReplicationSubnetGroupIdentifier"].lower())
        group.attributes |= self._subnets(request["SubnetIds"])
        if request.get("ReplicationSubnetGroupDescription"):
            group.attributes["ReplicationSubnetGroupDescription"] = request["ReplicationSubnetGroupDescription"]
        return {"ReplicationSubnetGroup": group.attributes}

    def delete_group(self, request: Attributes) -> Attributes:
        """DeleteReplicationSubnetGroup; refused while an instance is in it."""
        check(request, required=("ReplicationSubnetGroupIdentifier",))
        group = self.groups.get(request["ReplicationSubnetGroupIdentifier"].lower())
        if any(instance["ReplicationSubnetGroup"] is group.attributes for instance in self.instances.all()):
            raise ServiceError("InvalidResourceStateFault", "the subnet group has replication instances: delete them")
        self.groups.remove(group)
        return {}

    def describe_groups(self, request: Attributes) -> Attributes:
        """DescribeReplicationSubnetGroups."""
        check(request, optional=("Filters", "MaxRecords", "Marker"))
        filters = {"replication-subnet-group-id": "ReplicationSubnetGroupIdentifier"}
        return describe(self.groups.all(), request, "ReplicationSubnetGroups", filters)

    def create_instance(self, request: Attributes) -> Attributes:
        """CreateReplicationInstance; available at once."""
        check(
            request, required=("ReplicationInstanceIdentifier", "ReplicationInstanceClass"), optional=_CREATE_INSTANCE
        )
        group_name = request.get("ReplicationSubnetGroupIdentifier")
        if not group_name:
            raise ServiceError(
                "InvalidParameterValueException",
                "ReplicationSubnetGroupIdentifier must be given: the embedded AWS has no default VPC for DMS",
            )
        group = self.groups.get(group_name.lower())
        instance = self.instances.add(
            Resource(
                {
                    "ReplicationInstanceIdentifier": request["ReplicationInstanceIdentifier"].lower(),
                    "ReplicationInstanceArn": arn_of(self._extension, "rep", resource_id(request)),
                    "ReplicationInstanceStatus": "available",
                    "InstanceCreateTime": time.time(),
                    "ReplicationSubnetGroup": group.attributes,
                    "VpcSecurityGroups": _security_groups(request.get("VpcSecurityGroupIds") or []),
                    "ReplicationInstancePrivateIpAddress": PRIVATE_ADDRESS,
                    "ReplicationInstancePrivateIpAddresses": [PRIVATE_ADDRESS],
                    **_DEFAULTS,
                    **_given(request, _KEPT),
                }
            )
        )
        self._tags.set(instance["ReplicationInstanceArn"], request.get("Tags") or [])
        return {"ReplicationInstance": instance.attributes}

    def modify_instance(self, request: Attributes) -> Attributes:
        """ModifyReplicationInstance; every change is in place at once."""
        check(request, required=("ReplicationInstanceArn",), optional=_MODIFY_INSTANCE)
        instance = self.instances.get(request["ReplicationInstanceArn"])
        name = request.get("ReplicationInstanceIdentifier", instance["ReplicationInstanceIdentifier"]).lower()
        if name != instance["ReplicationInstanceIdentifier"]:
            raise ServiceError(
                "InvalidParameterValueException",
                "ReplicationInstanceIdentifier cannot be changed in the embedded AWS: its metrics carry it",
            )
        instance.attributes |= _given(request, _KEPT)
        if request.get("VpcSecurityGroupIds"):
            instance.attributes["VpcSecurityGroups"] = _security_groups(request["VpcSecurityGroupIds"])
        return {"ReplicationInstance": instance.attributes}

    def delete_instance(self, request: Attributes) -> Attributes:
        """DeleteReplicationInstance; refused while it has tasks."""
        check(request, required=("ReplicationInstanceArn",))
        instance = self.instances.get(request["ReplicationInstanceArn"])
        if self._in_use(instance["ReplicationInstanceArn"]):
            raise ServiceError("InvalidResourceStateFault", "the replication instance has tasks: delete them first")
        self.instances.remove(instance)
        self._tags.forget(instance["ReplicationInstanceArn"])
        return {"ReplicationInstance": instance.attributes | {"ReplicationInstanceStatus": "deleting"}}

    def describe_instances(self, request: Attributes) -> Attributes:
        """DescribeReplicationInstances."""
        check(request, optional=("Filters", "MaxRecords", "Marker"))
        filters = {
            "replication-instance-id": "ReplicationInstanceIdentifier",
            "replication-instance-arn": "ReplicationInstanceArn",
            "replication-instance-class": "ReplicationInstanceClass",
            "engine-version": "EngineVersion",
        }
        return describe(self.instances.all(), request, "ReplicationInstances", filters)

    def _subnets(self, subnet_ids: list[str]) -> Attributes:
        subnets = self._extension.client("ec2").describe_subnets(SubnetIds=subnet_ids)["Subnets"]
        if len({subnet["AvailabilityZone"] for subnet in subnets}) < 2:
            raise ServiceError(
                "ReplicationSubnetGroupDoesNotCoverEnoughAZs",
                "the subnet group must cover at least two availability zones",
            )
        return {
            "VpcId": subnets[0]["VpcId"],
            "Subnets": [
                {
                    "SubnetIdentifier": subnet["SubnetId"],
                    "SubnetAvailabilityZone": {"Name": subnet["AvailabilityZone"]},
                    "SubnetStatus": "Active",
                }
                for subnet in subnets
            ],
        }


class Tags:
    """Tags by ARN."""

    def __init__(self) -> None:
        self._tags: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()

    def actions(self) -> dict[str, Action]:
        """By name."""
        return {
            "AddTagsToResource": self.add,
            "RemoveTagsFromResource": self.remove,
            "ListTagsForResource": self.list,
        }

    def set(self, arn: str, tags: list[dict[str, str]]) -> None:
        """Give a resource these tags and no others."""
        with self._lock:
            self._tags[arn] = {tag["Key"]: tag.get("Value", "") for tag in tags}

    def forget(self, arn: str) -> None:
        """The resource is gone."""
        with self._lock:
            self._tags.pop(arn, None)

    def clear(self) -> None:
        """All resources are gone."""
        with self._lock:
            self._tags.clear()

    def add(self, request: Attributes) -> Attributes:
        """AddTagsToResource."""
        check(request, required=("ResourceArn", "Tags"))
        with self._lock:
            self._known(request["ResourceArn"]).update({t["Key"]: t.get("Value", "") for t in request["Tags"]})
        return {}

    def remove(self, request: Attributes) -> Attributes:
        """RemoveTagsFromResource."""
        check(request, required=("ResourceArn", "TagKeys"))
        with self._lock:
            tags = self._known(request["ResourceArn"])
            for key in request["TagKeys"]:
                tags.pop(key, None)
        return {}

    def list(self, request: Attributes) -> Attributes:
        """ListTagsForResource."""
        check(request, optional=("ResourceArn", "ResourceArnList"))
        arns = [*(request.get("ResourceArnList") or []), *filter(None, [request.get("ResourceArn")])]
        with self._lock:
            tags = [
                {"Key": key, "Value": value, "ResourceArn": arn}
                for arn in arns
                for key, value in sorted(self._known(arn).items())
            ]
        return {"TagList": tags}

    def _known(self, arn: str) -> dict[str, str]:
        if arn not in self._tags:
            raise ServiceError("ResourceNotFoundFault", f"{arn} was not found")
        return self._tags[arn]


def arn_of(extension: Extension, kind: str, identifier: str) -> str:
    """The ARN of one of the caller's resources."""
    account, region = extension.scope()
    return f"arn:aws:dms:{region}:{account}:{kind}:{identifier}"


def _given(request: Mapping[str, Any], names: tuple[str, ...]) -> Attributes:
    return {name: request[name] for name in names if request.get(name) is not None}


def _security_groups(identifiers: list[str]) -> list[dict[str, str]]:
    return [{"VpcSecurityGroupId": identifier, "Status": "active"} for identifier in identifiers]
