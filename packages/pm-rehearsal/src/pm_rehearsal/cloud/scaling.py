"""Application Auto Scaling: targets and policies are kept and shown, with AWS's errors.

Registering a target moves its service's count between its bounds, as on AWS. Policies do not act: on one machine, load
that would scale a service out is load of that machine.
"""

import json
import time
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar

from pm_rehearsal.cloud.extension import Extension, Properties, Provider, Provisioned, ServiceError

_NOT_SUSPENDED = {
    "DynamicScalingInSuspended": False,
    "DynamicScalingOutSuspended": False,
    "ScheduledScalingSuspended": False,
}
_TASK_COUNT = "ecs:service:DesiredCount"
_POLICY_KINDS = ("TargetTrackingScalingPolicyConfiguration", "StepScalingPolicyConfiguration")

Record = dict[str, Any]
Key = tuple[str, ...]


def install(extension: Extension) -> None:
    """Add the service and its two resource types."""
    service = ScalingService(extension)
    extension.on_reset(service.clear)
    extension.serve(
        key="application-autoscaling",
        target_prefix="AnyScaleFrontendService",
        actions={
            "RegisterScalableTarget": service.register_scalable_target,
            "DescribeScalableTargets": service.describe_scalable_targets,
            "DeregisterScalableTarget": service.deregister_scalable_target,
            "PutScalingPolicy": service.put_scaling_policy,
            "DescribeScalingPolicies": service.describe_scaling_policies,
            "DeleteScalingPolicy": service.delete_scaling_policy,
            "DescribeScalingActivities": service.describe_scaling_activities,
            "ListTagsForResource": service.list_tags_for_resource,
        },
    )
    extension.provide(ScalableTarget(extension))
    extension.provide(ScalingPolicy(extension))


class ScalingService:
    """The service's actions; each takes a request and gives an answer in the API's shape."""

    def __init__(self, extension: Extension) -> None:
        self._extension = extension
        self._targets: dict[Key, Record] = {}
        self._policies: dict[Key, Record] = {}

    def clear(self) -> None:
        """Forget everything."""
        self._targets.clear()
        self._policies.clear()

    def register_scalable_target(self, request: Record) -> Record:
        """Create or change a target; a count outside its bounds is moved to the nearer one.

        Source: Application Auto Scaling user guide, "Application Auto Scaling concepts".
        """
        account, region = self._extension.scope()
        identity = uuid.uuid4().hex
        target = self._targets.setdefault(
            self._key(request),
            {
                **{name: request[name] for name in ("ServiceNamespace", "ResourceId", "ScalableDimension")},
                "RoleARN": f"arn:aws:iam::{account}:role/aws-service-role/ecs.application-autoscaling.amazonaws.com/"
                "AWSServiceRoleForApplicationAutoScaling_ECSService",
                "CreationTime": time.time(),
                "ScalableTargetARN": f"arn:aws:application-autoscaling:{region}:{account}:scalable-target/{identity}",
                "SuspendedState": _NOT_SUSPENDED,
                "Tags": {},
            },
        )
        changeable = ("MinCapacity", "MaxCapacity", "RoleARN", "SuspendedState", "Tags")
        target |= {name: request[name] for name in changeable if request.get(name) is not None}
        if "MinCapacity" not in target or "MaxCapacity" not in target:
            del self._targets[self._key(request)]
            raise ServiceError(
                "ValidationException", "MinCapacity and MaxCapacity are required for a new scalable target"
            )
        if target["MinCapacity"] > target["MaxCapacity"]:
            raise ServiceError(
                "ValidationException",
                f"MinCapacity {target['MinCapacity']} is larger than MaxCapacity {target['MaxCapacity']}",
            )
        if target["ScalableDimension"] == _TASK_COUNT:
            self._move_between_bounds(target)
        return {"ScalableTargetARN": target["ScalableTargetARN"]}

    def describe_scalable_targets(self, request: Record) -> Record:
        """Targets of one service namespace."""
        targets = self._within(self._targets, request)
        wanted = request.get("ResourceIds")
        return {"ScalableTargets": [item for item in targets if not wanted or item["ResourceId"] in wanted]}

    def deregister_scalable_target(self, request: Record) -> Record:
        """Remove a target with its policies."""
        key = self._existing(request)
        del self._targets[key]
        for policy in [policy for policy in self._policies if policy[: len(key)] == key]:
            del self._policies[policy]
        return {}

    def put_scaling_policy(self, request: Record) -> Record:
        """Create or change a policy of a target."""
        account, region = self._extension.scope()
        key = (*self._existing(request), request["PolicyName"])
        before = self._policies.get(key)
        arn = (
            f"arn:aws:autoscaling:{region}:{account}:scalingPolicy:{uuid.uuid4()}:resource/"
            f"{request['ServiceNamespace']}/{request['ResourceId']}:policyName/{request['PolicyName']}"
        )
        self._policies[key] = {
            **request,
            "PolicyARN": before["PolicyARN"] if before else arn,
            "CreationTime": before["CreationTime"] if before else time.time(),
            "Alarms": [],
        }
        return {"PolicyARN": self._policies[key]["PolicyARN"], "Alarms": []}

    def describe_scaling_policies(self, request: Record) -> Record:
        """Policies of one service namespace."""
        policies = self._within(self._policies, request)
        names, resource = request.get("PolicyNames"), request.get("ResourceId")
        return {
            "ScalingPolicies": [
                item
                for item in policies
                if (not names or item["PolicyName"] in names) and resource in (None, item["ResourceId"])
            ]
        }

    def delete_scaling_policy(self, request: Record) -> Record:
        """Remove a policy."""
        if self._policies.pop((*self._key(request), request["PolicyName"]), None) is None:
            raise ServiceError("ObjectNotFoundException", f"No scaling policy found named {request['PolicyName']}")
        return {}

    def describe_scaling_activities(self, request: Record) -> Record:
        """None: policies do not act here."""
        del request
        return {"ScalingActivities": []}

    def list_tags_for_resource(self, request: Record) -> Record:
        """The tags of a target."""
        for target in self._targets.values():
            if target["ScalableTargetARN"] == request.get("ResourceARN"):
                return {"Tags": target["Tags"]}
        raise ServiceError("ResourceNotFoundException", f"No scalable target {request.get('ResourceARN')}")

    def _move_between_bounds(self, target: Record) -> None:
        _, cluster, service = target["ResourceId"].split("/")
        ecs = self._extension.module("services.ecs")
        answer = json.loads(ecs._describe_services({"cluster": cluster, "services": [service]})[2])
        active = [found for found in answer.get("services", ()) if found["status"] == "ACTIVE"]
        if not active:
            del self._targets[self._key(target)]
            raise ServiceError("ValidationException", f"ECS service doesn't exist: {target['ResourceId']}")
        current = int(active[0]["desiredCount"])
        wanted = min(max(current, target["MinCapacity"]), target["MaxCapacity"])
        if wanted != current:
            ecs._update_service({"cluster": cluster, "service": service, "desiredCount": wanted})

    def _key(self, request: Mapping[str, Any]) -> Key:
        names = ("ServiceNamespace", "ResourceId", "ScalableDimension")
        return (*self._extension.scope(), *(str(request[name]) for name in names))

    def _existing(self, request: Mapping[str, Any]) -> Key:
        key = self._key(request)
        if key not in self._targets:
            raise ServiceError(
                "ObjectNotFoundException",
                f"No scalable target registered for service namespace: {request['ServiceNamespace']}, "
                f"resource ID: {request['ResourceId']}, scalable dimension: {request['ScalableDimension']}",
            )
        return key

    def _within(self, records: Mapping[Key, Record], request: Mapping[str, Any]) -> list[Record]:
        account, region = self._extension.scope()
        return [record for key, record in records.items() if key[:3] == (account, region, request["ServiceNamespace"])]


class ScalableTarget(Provider):
    """AWS::ApplicationAutoScaling::ScalableTarget."""

    type_name = "AWS::ApplicationAutoScaling::ScalableTarget"
    properties: ClassVar[frozenset[str]] = frozenset(
        (
            "MaxCapacity",
            "MinCapacity",
            "ResourceId",
            "RoleARN",
            "ScalableDimension",
            "ServiceNamespace",
            "SuspendedState",
            "Tags",
        )
    )
    replace_on: ClassVar[frozenset[str]] = frozenset(("ResourceId", "ScalableDimension", "ServiceNamespace"))

    def __init__(self, extension: Extension) -> None:
        self._extension = extension

    def create(self, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        """Register the target."""
        del logical_id, stack_name
        names = ("ResourceId", "ScalableDimension", "ServiceNamespace", "RoleARN", "SuspendedState")
        self._extension.client("application-autoscaling").register_scalable_target(
            MinCapacity=int(properties["MinCapacity"]),
            MaxCapacity=int(properties["MaxCapacity"]),
            Tags={tag["Key"]: tag["Value"] for tag in properties.get("Tags", ())},
            **{name: properties[name] for name in names if name in properties},
        )
        identity = "|".join(str(properties[name]) for name in names[:3])
        return identity, {"Id": identity}

    def update(
        self, physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str
    ) -> Provisioned:
        """Registering again changes the target."""
        del physical_id, old
        return self.create(logical_id, new, stack_name)

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Deregister the target."""
        del properties
        client = self._extension.client("application-autoscaling")
        try:
            client.deregister_scalable_target(**_target(physical_id))
        except client.exceptions.ObjectNotFoundException:
            return


class ScalingPolicy(Provider):
    """AWS::ApplicationAutoScaling::ScalingPolicy."""

    type_name = "AWS::ApplicationAutoScaling::ScalingPolicy"
    properties: ClassVar[frozenset[str]] = frozenset(
        (
            *("PolicyName", "PolicyType", "ResourceId", "ScalableDimension", "ScalingTargetId", "ServiceNamespace"),
            *_POLICY_KINDS,
        )
    )
    replace_on: ClassVar[frozenset[str]] = frozenset(
        ("PolicyName", "ResourceId", "ScalableDimension", "ScalingTargetId", "ServiceNamespace")
    )

    def __init__(self, extension: Extension) -> None:
        self._extension = extension

    def create(self, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        """Put the policy."""
        del logical_id, stack_name
        answer = self._extension.client("application-autoscaling").put_scaling_policy(
            PolicyName=properties["PolicyName"],
            PolicyType=properties["PolicyType"],
            **_owner(properties),
            **{kind: typed(properties[kind]) for kind in _POLICY_KINDS if kind in properties},
        )
        return answer["PolicyARN"], {"Arn": answer["PolicyARN"]}

    def update(
        self, physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str
    ) -> Provisioned:
        """Putting again changes the policy."""
        del physical_id, old
        return self.create(logical_id, new, stack_name)

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Delete the policy."""
        del physical_id
        client = self._extension.client("application-autoscaling")
        try:
            client.delete_scaling_policy(PolicyName=properties["PolicyName"], **_owner(properties))
        except client.exceptions.ObjectNotFoundException:
            return


def typed(value: Any, name: str = "") -> Any:
    """A template's strings as the numbers and flags that the API wants."""
    if isinstance(value, Mapping):
        return {key: typed(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item, name) for item in value]
    if name in ("TargetValue", "MetricIntervalLowerBound", "MetricIntervalUpperBound"):
        return float(value)
    if name in ("ScaleInCooldown", "ScaleOutCooldown", "Cooldown", "ScalingAdjustment", "MinAdjustmentMagnitude"):
        return int(value)
    return str(value).lower() == "true" if name == "DisableScaleIn" else value


def _target(identity: str) -> dict[str, str]:
    resource, dimension, namespace = identity.split("|")
    return {"ResourceId": resource, "ScalableDimension": dimension, "ServiceNamespace": namespace}


def _owner(properties: Properties) -> dict[str, str]:
    if "ScalingTargetId" in properties:
        return _target(str(properties["ScalingTargetId"]))
    return {name: str(properties[name]) for name in ("ResourceId", "ScalableDimension", "ServiceNamespace")}
