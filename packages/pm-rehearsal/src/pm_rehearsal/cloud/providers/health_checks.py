"""AWS::Route53::HealthCheck."""

import uuid
from typing import Any

from pm_rehearsal.cloud.extension import Extension, Properties, Provider, Provisioned

NUMBERS = frozenset({"FailureThreshold", "HealthThreshold", "Port", "RequestInterval"})
BOOLEANS = frozenset({"Disabled", "EnableSNI", "Inverted", "MeasureLatency"})
UPDATABLE = frozenset(
    {
        *("AlarmIdentifier", "ChildHealthChecks", "EnableSNI", "FailureThreshold", "FullyQualifiedDomainName"),
        *("HealthThreshold", "IPAddress", "InsufficientDataHealthStatus", "Inverted", "Port", "Regions"),
        *("ResourcePath", "SearchString", "Disabled"),
    }
)


def install(extension: Extension) -> None:
    """Add the type."""
    extension.provide(HealthCheck(extension))


class HealthCheck(Provider):
    """A health check; its type, interval and latency measurement cannot be changed in place, as on AWS."""

    type_name = "AWS::Route53::HealthCheck"
    properties = frozenset({"HealthCheckConfig", "HealthCheckTags"})

    def __init__(self, extension: Extension) -> None:
        self._extension = extension

    @property
    def _route53(self) -> Any:
        return self._extension.client("route53")

    def create(self, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        """Create the check and its tags."""
        del logical_id, stack_name
        made = self._route53.create_health_check(
            CallerReference=str(uuid.uuid4()), HealthCheckConfig=_config(properties)
        )
        identifier = made["HealthCheck"]["Id"]
        self._tag(identifier, properties)
        return identifier, {"HealthCheckId": identifier}

    def update(
        self, physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str
    ) -> Provisioned:
        """Change what Route 53 can change, replace otherwise."""
        before, after = _config(old), _config(new)
        changed = {name for name in before | after if before.get(name) != after.get(name)}
        if not changed <= UPDATABLE or not changed <= after.keys():
            return self.create(logical_id, new, stack_name)
        if changed:
            self._route53.update_health_check(HealthCheckId=physical_id, **{name: after[name] for name in changed})
        self._tag(physical_id, new)
        return physical_id, {"HealthCheckId": physical_id}

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Delete the check."""
        del properties
        client = self._route53
        try:
            client.delete_health_check(HealthCheckId=physical_id)
        except client.exceptions.NoSuchHealthCheck:
            return

    def _tag(self, identifier: str, properties: Properties) -> None:
        if properties.get("HealthCheckTags"):
            self._route53.change_tags_for_resource(
                ResourceType="healthcheck", ResourceId=identifier, AddTags=properties["HealthCheckTags"]
            )


def _config(properties: Properties) -> dict[str, Any]:
    config = dict(properties["HealthCheckConfig"])
    config |= {name: int(config[name]) for name in NUMBERS & config.keys()}
    return config | {name: str(config[name]).lower() == "true" for name in BOOLEANS & config.keys()}
