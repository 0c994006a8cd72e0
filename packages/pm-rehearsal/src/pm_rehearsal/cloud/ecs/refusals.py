"""What AWS refuses of ECS requests and MiniStack does not: each would show on AWS only."""

from collections.abc import Mapping
from typing import Any

from pm_rehearsal.cloud.extension import DeleteHandler, Extension, Properties, Request, Response, ServiceError

CLUSTER = "AWS::ECS::Cluster"


class EcsRefusals:
    """Checks RunTask and DeleteCluster before MiniStack sees them.

    Source: Amazon ECS API reference, the errors of both actions.
    """

    def __init__(self, extension: Extension) -> None:
        self._extension = extension
        self._ecs = extension.module("services.ecs")

    def install(self) -> None:
        """Stand before MiniStack's ECS."""
        self._extension.intercept("ecs", self._look)
        self._extension.wrap(CLUSTER, delete=self._delete)

    def _look(self, request: Request) -> Response | None:
        if request.action == "RunTask":
            self._check_run(request.parameters)
        elif request.action == "DeleteCluster":
            self._check_empty(str(request.parameters.get("cluster", "default")))
        return None

    def _check_run(self, request: Mapping[str, Any]) -> None:
        cluster = self._ecs._resolve_cluster_name(request.get("cluster", "default"))
        if cluster not in self._ecs._clusters:
            raise ServiceError("ClusterNotFoundException", "Cluster not found.")
        definition = self._ecs._task_defs.get(self._ecs._resolve_td_key(request.get("taskDefinition", "")))
        if definition is None:
            return  # MiniStack says it
        if definition["networkMode"] == "awsvpc" and not self._ecs._requested_subnet(request):
            raise ServiceError(
                "InvalidParameterException",
                "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
            )
        known = {container["name"] for container in definition["containerDefinitions"]}
        for override in request.get("overrides", {}).get("containerOverrides", ()):
            if override.get("name") not in known:
                raise ServiceError(
                    "InvalidParameterException",
                    f"Override for container named {override.get('name')} is not a container in the TaskDefinition.",
                )

    def _check_empty(self, reference: str) -> None:
        name = self._ecs._resolve_cluster_name(reference)
        active = [
            task
            for task in list(self._ecs._tasks.values())
            if str(task["clusterArn"]).rpartition("/")[2] == name and task["lastStatus"] != "STOPPED"
        ]
        if active:
            raise ServiceError("ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active.")

    def _delete(self, original: DeleteHandler, physical_id: str, properties: Properties) -> None:
        self._check_empty(physical_id)
        original(physical_id, properties)
