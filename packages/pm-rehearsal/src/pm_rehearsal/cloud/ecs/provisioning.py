"""CloudFormation's AWS::ECS::TaskDefinition and AWS::ECS::Service: done when the service is steady, else failed."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pm_rehearsal.cloud.extension import Extension, Properties, Provider, Provisioned, UnsupportedPropertyError

STEADY_SECONDS = 300.0
STOP_SECONDS = 400.0  # a deregistration delay of 300 s and a stop timeout of 30 s fit in
LOOK_SECONDS = 0.1

_NUMBERS = frozenset(
    (
        *("containerPort", "hostPort", "startTimeout", "stopTimeout", "cpu", "memory", "memoryReservation"),
        *("desiredCount", "maximumPercent", "minimumHealthyPercent", "healthCheckGracePeriodSeconds"),
        *("weight", "base", "sizeInGiB"),
    )
)
_FLAGS = frozenset(
    (
        *("essential", "enable", "rollback", "enableExecuteCommand", "enableECSManagedTags", "readonlyRootFilesystem"),
        *("readOnly", "initProcessEnabled"),
    )
)
_VERBATIM = frozenset(("Options", "DockerLabels"))  # their keys are data
_CONTAINER = frozenset(
    (
        "Command",
        "Cpu",
        "Environment",
        "Essential",
        "Image",
        "LinuxParameters",
        "LogConfiguration",
        "Memory",
        "MemoryReservation",
        "MountPoints",
        "Name",
        "PortMappings",
        "ReadonlyRootFilesystem",
        "Secrets",
        "StopTimeout",
        "User",
        "VersionConsistency",
    )
)


class ServiceFailedError(Exception):
    """A service did not reach its steady state."""


class TaskDefinitionProvider(Provider):
    """Each change registers a new revision, as on AWS."""

    type_name = "AWS::ECS::TaskDefinition"
    properties: ClassVar[frozenset[str]] = frozenset(
        (
            "ContainerDefinitions",
            "Cpu",
            "EphemeralStorage",
            "ExecutionRoleArn",
            "Family",
            "Memory",
            "NetworkMode",
            "RequiresCompatibilities",
            "RuntimePlatform",
            "Tags",
            "TaskRoleArn",
            "Volumes",
        )
    )

    def __init__(self, extension: Extension) -> None:
        self._extension = extension
        self._ecs = extension.module("services.ecs")

    def create(self, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        """Register a revision."""
        for container in properties["ContainerDefinitions"]:
            unknown = sorted(set(container) - _CONTAINER)
            if unknown:
                raise UnsupportedPropertyError(
                    f"{self.type_name}: container {container.get('Name')}: {', '.join(unknown)} is not supported by "
                    f"the embedded AWS; it honours {', '.join(sorted(_CONTAINER))}"
                )
        for volume in properties.get("Volumes", ()):
            if set(volume) != {"Name"}:
                raise UnsupportedPropertyError(
                    f"{self.type_name}: volume {volume.get('Name')}: only an empty volume that goes with its task is "
                    "supported by the embedded AWS; give it nothing but a Name"
                )
        family = properties.get("Family") or self._extension.physical_name(stack_name, logical_id, 255, lowercase=False)
        definition = to_api({**properties, "Family": family})
        definition |= {name: str(definition[name]) for name in ("cpu", "memory") if name in definition}
        answer = _answer(self._ecs._register_task_definition(definition))
        arn: str = answer["taskDefinition"]["taskDefinitionArn"]
        return arn, {"TaskDefinitionArn": arn}

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Deregister the revision."""
        del properties
        self._ecs._deregister_task_definition({"taskDefinition": physical_id})


class ServiceProvider(Provider):
    """A service; AWS waits for its steady state for hours, this for minutes, and says why it failed."""

    type_name = "AWS::ECS::Service"
    properties: ClassVar[frozenset[str]] = frozenset(
        (
            "CapacityProviderStrategy",
            "Cluster",
            "DeploymentConfiguration",
            "DeploymentController",
            "DesiredCount",
            "EnableECSManagedTags",
            "EnableExecuteCommand",
            "HealthCheckGracePeriodSeconds",
            "LaunchType",
            "LoadBalancers",
            "NetworkConfiguration",
            "PlatformVersion",
            "PropagateTags",
            "SchedulingStrategy",
            "ServiceName",
            "Tags",
            "TaskDefinition",
        )
    )
    replace_on: ClassVar[frozenset[str]] = frozenset(("Cluster", "LaunchType", "SchedulingStrategy", "ServiceName"))

    def __init__(self, extension: Extension) -> None:
        self._extension = extension
        self._ecs = extension.module("services.ecs")

    def create(self, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        """Create the service and wait; one that fails is removed again."""
        name = properties.get("ServiceName") or self._extension.physical_name(
            stack_name, logical_id, 255, lowercase=False
        )
        request = self._request(properties) | {"serviceName": name}
        record = _answer(self._ecs._create_service(request))["service"]
        try:
            self._wait_until_steady(record)
        except ServiceFailedError:
            self.delete(record["serviceArn"], properties)
            raise
        return record["serviceArn"], {"ServiceArn": record["serviceArn"], "Name": name}

    def update(
        self, physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str
    ) -> Provisioned:
        """Update the service and wait; a service with a circuit breaker has rolled itself back when this fails."""
        del stack_name, logical_id
        before, after = self._request(old), self._request(new)
        # A count that is given is set with every update, as on AWS; one that is not stays as scaling left it.
        changed = {name: value for name, value in after.items() if before.get(name) != value or name == "desiredCount"}
        name = physical_id.rpartition("/")[2]
        request = changed | {"service": name, "cluster": after["cluster"]}
        record = _answer(self._ecs._update_service(request))["service"]
        self._wait_until_steady(record)
        return physical_id, {"ServiceArn": physical_id, "Name": name}

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Stop its tasks in order and wait until the last is gone."""
        request = {
            "service": physical_id.rpartition("/")[2],
            "cluster": properties.get("Cluster", "default"),
            "force": True,
        }
        record = self._record(physical_id)
        if record is None or record["status"] == "INACTIVE":
            return
        _answer(self._ecs._delete_service(request))
        _wait(lambda: record["status"] == "INACTIVE", STOP_SECONDS, lambda: f"{physical_id} still has running tasks")

    def _request(self, properties: Properties) -> dict[str, Any]:
        alarms = properties.get("DeploymentConfiguration", {}).get("Alarms", {})
        if str(alarms.get("Enable", False)).lower() == "true":
            raise UnsupportedPropertyError(
                f"{self.type_name}: DeploymentConfiguration.Alarms is not supported by the embedded AWS; "
                "its circuit breaker is"
            )
        request: dict[str, Any] = to_api({name: value for name, value in properties.items() if name != "ServiceName"})
        request.setdefault("cluster", "default")
        return request

    def _record(self, arn: str) -> dict[str, Any] | None:
        records = self._ecs._services.values()
        return next((record for record in records if record["serviceArn"] == arn), None)

    def _wait_until_steady(self, answer: Mapping[str, Any]) -> None:
        arn = answer["serviceArn"]
        primary = next(item for item in answer["deployments"] if item["status"] == "PRIMARY")

        def steady() -> bool:
            record = self._record(arn)
            if record is None:
                raise ServiceFailedError(f"{arn} was deleted while its deployment was under way")
            failure = record.get("_failures", {}).get(primary["id"])
            if failure is not None:
                raise ServiceFailedError(f"ECS Deployment Circuit Breaker was triggered: {failure}")
            deployment = self._ecs._primary_deployment(record)
            if deployment["id"] != primary["id"]:
                raise ServiceFailedError(f"another deployment of {arn} began while this one was under way")
            running = int(record["runningCount"])
            return bool(deployment["rolloutState"] == "COMPLETED" and running == int(record["desiredCount"]))

        def progress() -> str:
            record = self._record(arn) or {"events": []}
            latest = record["events"][0]["message"] if record["events"] else "nothing happened"
            return f"{arn} is not steady after {STEADY_SECONDS:.0f} s; its last event: {latest}"

        _wait(steady, STEADY_SECONDS, progress)


def to_api(value: Any, name: str = "") -> Any:
    """A template's properties in the shape of ECS's API: camel case, numbers and flags as such."""
    if isinstance(value, Mapping):
        return {camel(key): dict(item) if key in _VERBATIM else to_api(item, camel(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [to_api(item, name) for item in value]
    if name in _NUMBERS and not isinstance(value, bool):
        return int(value)
    if name in _FLAGS:
        return str(value).lower() == "true"
    return value


def camel(name: str) -> str:
    """``DesiredCount`` -> ``desiredCount``."""
    return name[:1].lower() + name[1:]


def _answer(response: tuple[int, Mapping[str, str], bytes]) -> Any:
    status, _, body = response
    answer = json.loads(body)
    if status >= 400:
        raise ServiceFailedError(f"{answer.get('__type', status)}: {answer.get('message', body)}")
    return answer


def _wait(done: Callable[[], bool], seconds: float, problem: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise ServiceFailedError(problem())
        time.sleep(LOOK_SECONDS)
