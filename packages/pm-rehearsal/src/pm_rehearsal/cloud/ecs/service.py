"""How tasks and the service scheduler hook into MiniStack's ECS."""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from pm_rehearsal.cloud.balancing import traffic_of
from pm_rehearsal.cloud.ecs.insights import Insights
from pm_rehearsal.cloud.ecs.provisioning import ServiceProvider, TaskDefinitionProvider
from pm_rehearsal.cloud.ecs.refusals import EcsRefusals
from pm_rehearsal.cloud.ecs.scheduler import Scheduler
from pm_rehearsal.cloud.ecs.tasks import Record, Tasks, images_from
from pm_rehearsal.cloud.extension import Extension, Response
from pm_rehearsal.cloud.settings import IMAGES_VARIABLE

log = logging.getLogger(__name__)


def install(extension: Extension) -> None:
    """Run services and tasks as processes.

    Raises:
        ValueError: PM_CLOUD_IMAGES is malformed.
        AttributeError: MiniStack lacks a function that is replaced here.
    """
    traffic = traffic_of(extension)
    tasks = Tasks(extension, traffic, images_from(os.environ.get(IMAGES_VARIABLE, "")))
    scheduler = Scheduler(extension, traffic, tasks)
    _Hooks(extension.module("services.ecs"), tasks, scheduler, Insights(extension)).apply()
    EcsRefusals(extension).install()
    extension.provide(TaskDefinitionProvider(extension))
    extension.provide(ServiceProvider(extension))
    scheduler.start()


class _Hooks:
    """What replaces MiniStack's containers in Docker and its scheduler."""

    def __init__(self, ecs: Any, tasks: Tasks, scheduler: Scheduler, insights: Insights) -> None:
        self._ecs = ecs
        self._tasks = tasks
        self._scheduler = scheduler
        self._insights = insights
        self._make_deployment = ecs._make_deployment
        self._delete_service = ecs._delete_service
        self._delete_cluster = ecs._delete_cluster

    def apply(self) -> None:
        """Put our functions in the place of MiniStack's."""
        for name, function in (
            ("_get_docker", object),  # anything but None: tasks start as PROVISIONING, with a worker
            ("_run_task_worker", self.run_task_worker),
            ("_stop_task", self.stop_task),
            ("_make_deployment", self.make_deployment),
            ("_reconcile_service_tasks", self.reconcile),
            ("_sync_service_targets", self.sync_targets),
            ("_delete_service", self.delete_service),
            ("_delete_cluster", self.delete_cluster),
        ):
            getattr(self._ecs, name)
            setattr(self._ecs, name, function)
        self._ecs._ACTION_MAP |= {
            "StopTask": self.stop_task,
            "DeleteService": self.delete_service,
            "DeleteCluster": self.delete_cluster,
        }

    def run_task_worker(
        self, record: Record, definition: Mapping[str, Any], overrides: Sequence[Mapping[str, Any]], *rest: Any
    ) -> None:
        """On a thread of its own: start the task's containers."""
        _docker, account, region = rest
        self._tasks.start(record, definition, overrides, (account, region))
        self._scheduler.wake()

    def stop_task(self, request: Mapping[str, Any]) -> Response:
        """StopTask: begins the orderly end and answers at once, as on AWS."""
        record = self._ecs._resolve_task(request.get("task", ""), self._cluster(request))
        if record is None:
            missing: Response = self._ecs.error_response_json(
                "InvalidParameterException", "The referenced task was not found.", 400
            )
            return missing
        task = self._tasks.find(record["taskArn"])
        if task is not None:
            reason = str(request.get("reason") or "Task stopped by user")
            self._tasks.request_stop(task, reason=reason, code="UserInitiated")
            self._scheduler.wake()
        answer: Response = self._ecs.json_response({"task": self._ecs._sanitize(record)})
        return answer

    def make_deployment(self, *arguments: Any, **named: Any) -> Record:
        """A deployment is in progress until the scheduler has seen its tasks healthy."""
        deployment: Record = self._make_deployment(*arguments, **named)
        return deployment | {
            "rolloutState": "IN_PROGRESS",
            "rolloutStateReason": f"ECS deployment {deployment['id']} in progress.",
        }

    def reconcile(self, *_: Any) -> None:
        """A service's record changed."""
        self._scheduler.wake()

    def sync_targets(self, *_: Any) -> None:
        """Nothing: tasks register their targets one by one, with their real ports."""

    def delete_service(self, request: Mapping[str, Any]) -> Response:
        """DeleteService: draining until its last task has stopped."""
        answer: Response = self._delete_service(request)
        if answer[0] >= 400:
            return answer
        found = self._ecs._resolve_service_ref(request.get("service", ""))
        record = self._ecs._services[f"{self._cluster(request)}/{found[0]}"]
        record["status"] = "DRAINING"
        self._scheduler.wake()
        draining: Response = self._ecs.json_response({"service": self._ecs._sanitize(record)})
        return draining

    def delete_cluster(self, request: Mapping[str, Any]) -> Response:
        """DeleteCluster: what Container Insights has to say of it comes later."""
        cluster = self._ecs._clusters.get(self._cluster(request))
        answer: Response = self._delete_cluster(request)
        if cluster is not None:
            self._insights.deleted(cluster)
        return answer

    def _cluster(self, request: Mapping[str, Any]) -> str:
        name: str = self._ecs._resolve_cluster_name(request.get("cluster", "default"))
        return name
