"""The CloudFormation types of DMS, over its API."""

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from pm_rehearsal.cloud.extension import Extension, Properties, Provider, Provisioned

_INTEGERS = frozenset({"AllocatedStorage", "Port", "ExecuteTimeout", "HeartbeatFrequency", "MaxFileSize"})
_BOOLEANS = frozenset(
    {
        *("MultiAZ", "PubliclyAccessible", "AutoMinorVersionUpgrade", "AllowMajorVersionUpgrade", "Enabled"),
        *("CaptureDdls", "FailTasksOnLobTruncation", "HeartbeatEnable", "MapBooleanAsBoolean"),
    }
)


class _DmsProvider(Provider):
    """What the types share.

    Args:
        extension: The running MiniStack.
    """

    def __init__(self, extension: Extension) -> None:
        self._extension = extension

    @property
    def _dms(self) -> Any:
        return self._extension.client("dms")

    def _name(self, given: str | None, stack_name: str, logical_id: str) -> str:
        return given or self._extension.physical_name(stack_name, logical_id, 60)

    def _arn(self, kind: str, name: str) -> str:
        account, region = self._extension.scope()
        return f"arn:aws:dms:{region}:{account}:{kind}:{name}"

    def _retag(self, arn: str, old: Properties, new: Properties) -> None:
        wanted = {tag["Key"]: tag["Value"] for tag in new.get("Tags") or []}
        gone = [tag["Key"] for tag in old.get("Tags") or [] if tag["Key"] not in wanted]
        if gone:
            self._dms.remove_tags_from_resource(ResourceArn=arn, TagKeys=gone)
        if wanted:
            self._dms.add_tags_to_resource(ResourceArn=arn, Tags=new["Tags"])


class ReplicationSubnetGroupProvider(_DmsProvider):
    """AWS::DMS::ReplicationSubnetGroup."""

    type_name = "AWS::DMS::ReplicationSubnetGroup"
    properties = frozenset(
        {"ReplicationSubnetGroupDescription", "ReplicationSubnetGroupIdentifier", "SubnetIds", "Tags"}
    )
    replace_on = frozenset({"ReplicationSubnetGroupIdentifier"})

    def create(self, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        """Create the group; Ref is its name in lower case."""
        name = self._name(properties.get("ReplicationSubnetGroupIdentifier"), stack_name, logical_id)
        given = _typed(properties) | {"ReplicationSubnetGroupIdentifier": name}
        group = self._dms.create_replication_subnet_group(**given)["ReplicationSubnetGroup"]
        return group["ReplicationSubnetGroupIdentifier"], {}

    def update(
        self, physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str
    ) -> Provisioned:
        """Change description and subnets."""
        del stack_name, logical_id
        given = _typed(new, without=("Tags",)) | {"ReplicationSubnetGroupIdentifier": physical_id}
        self._dms.modify_replication_subnet_group(**given)
        self._retag(self._arn("subgrp", physical_id), old, new)
        return physical_id, {}

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Delete the group."""
        del properties
        _unless_gone(lambda: self._dms.delete_replication_subnet_group(ReplicationSubnetGroupIdentifier=physical_id))


class ReplicationInstanceProvider(_DmsProvider):
    """AWS::DMS::ReplicationInstance."""

    type_name = "AWS::DMS::ReplicationInstance"
    properties = frozenset(
        {
            *("AllocatedStorage", "AllowMajorVersionUpgrade", "AutoMinorVersionUpgrade", "AvailabilityZone"),
            *("EngineVersion", "KmsKeyId", "MultiAZ", "NetworkType", "PreferredMaintenanceWindow"),
            *("PubliclyAccessible", "ReplicationInstanceClass", "ReplicationInstanceIdentifier"),
            *("ReplicationSubnetGroupIdentifier", "ResourceIdentifier", "Tags", "VpcSecurityGroupIds"),
        }
    )
    replace_on = frozenset(
        {
            *("KmsKeyId", "ResourceIdentifier", "ReplicationSubnetGroupIdentifier", "PubliclyAccessible"),
            *("AvailabilityZone", "ReplicationInstanceIdentifier"),
        }
    )

    def create(self, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        """Create the instance; Ref is its ARN."""
        name = self._name(properties.get("ReplicationInstanceIdentifier"), stack_name, logical_id)
        # Allowing a major upgrade only speaks of later changes; the API takes it with those.
        given = _typed(properties, without=("AllowMajorVersionUpgrade",)) | {"ReplicationInstanceIdentifier": name}
        return _instance(self._dms.create_replication_instance(**given))

    def update(
        self, physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str
    ) -> Provisioned:
        """Change it at once."""
        del stack_name, logical_id
        given = _typed(new, without=("Tags", *self.replace_on)) | {
            "ReplicationInstanceArn": physical_id,
            "ApplyImmediately": True,
        }
        answer = self._dms.modify_replication_instance(**given)
        self._retag(physical_id, old, new)
        return _instance(answer)

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Delete the instance."""
        del properties
        _unless_gone(lambda: self._dms.delete_replication_instance(ReplicationInstanceArn=physical_id))


class EndpointProvider(_DmsProvider):
    """AWS::DMS::Endpoint."""

    type_name = "AWS::DMS::Endpoint"
    properties = frozenset(
        {
            *("DatabaseName", "EndpointIdentifier", "EndpointType", "EngineName", "ExtraConnectionAttributes"),
            *("KmsKeyId", "Password", "Port", "PostgreSqlSettings", "ResourceIdentifier", "ServerName", "SslMode"),
            *("Tags", "Username"),
        }
    )
    replace_on = frozenset({"KmsKeyId", "ResourceIdentifier", "EndpointIdentifier", "EndpointType", "EngineName"})

    def create(self, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        """Create the endpoint; Ref is its ARN."""
        name = self._name(properties.get("EndpointIdentifier"), stack_name, logical_id)
        given = _endpoint(properties) | {"EndpointIdentifier": name}
        return self._dms.create_endpoint(**given)["Endpoint"]["EndpointArn"], {"ExternalId": ""}

    def update(
        self, physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str
    ) -> Provisioned:
        """Change it; refused while a task that uses it runs."""
        del stack_name, logical_id
        changed = {name for name in {*old, *new} - {"Tags"} if old.get(name) != new.get(name)}
        if changed:  # tags alone can change under a running task
            given = _endpoint({name: new[name] for name in new if name not in {"Tags", *self.replace_on}})
            self._dms.modify_endpoint(EndpointArn=physical_id, ExactSettings=True, **given)
        self._retag(physical_id, old, new)
        return physical_id, {"ExternalId": ""}

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Delete the endpoint."""
        del properties
        _unless_gone(lambda: self._dms.delete_endpoint(EndpointArn=physical_id))


class ReplicationTaskProvider(_DmsProvider):
    """AWS::DMS::ReplicationTask: created stopped; neither changed nor deleted while it runs, as on AWS."""

    type_name = "AWS::DMS::ReplicationTask"
    properties = frozenset(
        {
            *("CdcStartPosition", "MigrationType", "ReplicationInstanceArn", "ReplicationTaskIdentifier"),
            *("ReplicationTaskSettings", "ResourceIdentifier", "SourceEndpointArn", "TableMappings", "Tags"),
            "TargetEndpointArn",
        }
    )
    replace_on = frozenset(
        {
            *("CdcStartPosition", "ResourceIdentifier", "SourceEndpointArn", "TargetEndpointArn"),
            *("ReplicationInstanceArn", "MigrationType"),
        }
    )

    def create(self, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        """Create the task; Ref is its ARN."""
        name = self._name(properties.get("ReplicationTaskIdentifier"), stack_name, logical_id)
        task = self._dms.create_replication_task(**_typed(properties) | {"ReplicationTaskIdentifier": name})
        return task["ReplicationTask"]["ReplicationTaskArn"], {}

    def update(
        self, physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str
    ) -> Provisioned:
        """Change mappings and settings."""
        del stack_name, logical_id
        changeable = ("ReplicationTaskIdentifier", "TableMappings", "ReplicationTaskSettings")
        changed = {name: new[name] for name in changeable if name in new and new[name] != old.get(name)}
        if changed:
            self._dms.modify_replication_task(ReplicationTaskArn=physical_id, **changed)
        self._retag(physical_id, old, new)
        return physical_id, {}

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Delete the task."""
        del properties
        _unless_gone(lambda: self._dms.delete_replication_task(ReplicationTaskArn=physical_id))


class EventSubscriptionProvider(_DmsProvider):
    """AWS::DMS::EventSubscription."""

    type_name = "AWS::DMS::EventSubscription"
    properties = frozenset(
        {"Enabled", "EventCategories", "SnsTopicArn", "SourceIds", "SourceType", "SubscriptionName", "Tags"}
    )
    replace_on = frozenset({"SubscriptionName", "SourceIds"})

    def create(self, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        """Create the subscription; Ref is its name."""
        name = self._name(properties.get("SubscriptionName"), stack_name, logical_id)
        self._dms.create_event_subscription(**_typed(properties) | {"SubscriptionName": name})
        return name, {}

    def update(
        self, physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str
    ) -> Provisioned:
        """Change what it listens to."""
        del stack_name, logical_id
        given = _typed(new, without=("Tags", *self.replace_on)) | {"SubscriptionName": physical_id}
        self._dms.modify_event_subscription(**given)
        self._retag(self._arn("es", physical_id), old, new)
        return physical_id, {}

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Delete the subscription."""
        del properties
        _unless_gone(lambda: self._dms.delete_event_subscription(SubscriptionName=physical_id))


def _instance(answer: Mapping[str, Any]) -> Provisioned:
    instance = answer["ReplicationInstance"]
    return instance["ReplicationInstanceArn"], {
        "ReplicationInstancePrivateIpAddresses": ",".join(instance["ReplicationInstancePrivateIpAddresses"]),
        "ReplicationInstancePublicIpAddresses": "",
    }


def _endpoint(properties: Properties) -> dict[str, Any]:
    given = _typed(properties, without=("PostgreSqlSettings",))
    if "EndpointType" in given:
        given["EndpointType"] = given["EndpointType"].lower()
    # CloudFormation and the API spell it differently.
    if "PostgreSqlSettings" in properties:
        given["PostgreSQLSettings"] = _typed(properties["PostgreSqlSettings"])
    return given


def _typed(properties: Properties, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Properties as the API takes them: a template may write numbers and booleans as strings."""
    return {name: _value(name, value) for name, value in properties.items() if name not in without}


def _value(name: str, value: Any) -> Any:
    if name in _INTEGERS:
        return int(value)
    return str(value).lower() == "true" if name in _BOOLEANS else value


def _unless_gone(delete: Callable[[], Any]) -> None:
    try:
        delete()
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundFault":
            raise
