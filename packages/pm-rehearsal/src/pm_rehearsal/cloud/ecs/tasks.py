"""Tasks: records of MiniStack with processes behind them, from the pull of an image to the last process's end."""

import itertools
import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pm_postgres
from pm_rehearsal.cloud.balancing import Traffic
from pm_rehearsal.cloud.ecs.containers import HOST, Container, Image, ImagePullError, command, environment
from pm_rehearsal.cloud.ecs.logs import LogForwarder
from pm_rehearsal.cloud.extension import Extension

log = logging.getLogger(__name__)

Record = dict[str, Any]


@dataclass(slots=True, eq=False)
class Task:
    """One task that runs or stops.

    Attributes:
        record: MiniStack's record; what DescribeTasks shows.
        targets: Target group ARN and port of each registration with a load balancer.
        started_at: Monotonic time.
        failed: Whether its end counts against its deployment; ``counted`` once it did.
        was_healthy: Whether its service ever saw it healthy.
        terminated_at: Monotonic time of SIGTERM; None before.
    """

    record: Record
    scope: tuple[str, str]
    containers: list[Container] = field(default_factory=list)
    targets: list[tuple[str, int]] = field(default_factory=list)
    started_at: float = field(default_factory=time.monotonic)
    failed: bool = False
    counted: bool = False
    was_healthy: bool = False
    terminated_at: float | None = None

    @property
    def arn(self) -> str:
        """Its ARN."""
        return str(self.record["taskArn"])

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return bool(self.record["desiredStatus"] == "STOPPED")


class Tasks:
    """Every task of the embedded AWS; safe to use from any thread."""

    def __init__(self, extension: Extension, traffic: Traffic, images: Mapping[str, Sequence[str]]) -> None:
        self._extension = extension
        self._traffic = traffic
        self._images = images
        self._ecs = extension.module("services.ecs")
        self._ecr = extension.module("services.ecr")
        self._request_scope = extension.module("core.responses").request_scope
        self._directory = extension.directory / "ecs"
        self._directory.mkdir(exist_ok=True)
        self._logs = LogForwarder(extension)
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._tasks: dict[str, Task] = {}

    def all(self) -> list[Task]:
        """Every task that has not stopped."""
        with self._lock:
            return list(self._tasks.values())

    def start(
        self,
        record: Record,
        definition: Mapping[str, Any],
        overrides: Sequence[Mapping[str, Any]],
        scope: tuple[str, str],
    ) -> None:
        """Start a task that MiniStack has recorded; a failure is told by the record, not raised."""
        task = Task(record=record, scope=scope)
        with self._lock:
            self._tasks[task.arn] = task
        with self._request_scope(*scope):
            record["lastStatus"] = "PENDING"
            record["pullStartedAt"] = self._now()
            try:
                self._launch(task, definition, {item["name"]: item for item in overrides})
            except ImagePullError as error:
                self._failed_to_start(task, str(error))
            except self._ecs._SecretResolutionError as error:
                self._failed_to_start(task, f"ResourceInitializationError: unable to pull secrets: {error}")
            except OSError as error:
                self._failed_to_start(task, f"CannotStartContainerError: {error}")
        with self._lock:
            forgotten = task.arn not in self._tasks
        if forgotten:  # everything was reset in the meantime
            for container in task.containers:
                container.kill()

    def request_stop(self, task: Task, *, reason: str, code: str) -> None:
        """Begin to stop: out of the load balancers first, then SIGTERM, then SIGKILL; ``advance`` does the rest."""
        if task.stopping:
            return
        task.record |= {
            "desiredStatus": "STOPPED",
            "lastStatus": "DEACTIVATING",
            "stoppingAt": self._now(),
            "stoppedReason": reason,
            "stopCode": code,
        }
        self._ecs._bump_task_version(task.record)
        for group, port in task.targets:
            self._traffic.deregister(group, HOST, port)
        self._refresh(task)

    def advance(self, task: Task) -> None:
        """Look at a task's processes and take the next step; called again and again."""
        codes = {container.name: container.exit_code() for container in task.containers}
        for entry in task.record["containers"]:
            if codes.get(entry["name"]) is not None:
                entry |= {"lastStatus": "STOPPED", "exitCode": codes[entry["name"]]}
        if not task.stopping:
            ended = [item for item in task.containers if item.essential and codes[item.name] is not None]
            if ended:
                task.failed = True
                self.request_stop(task, reason="Essential container in task exited", code="EssentialContainerExited")
                expected = not self.service_of(task) and codes[ended[0].name] == 0
                level = logging.INFO if expected else logging.WARNING
                log.log(level, "task %s: %s ended: %s", task.arn, ended[0].name, ended[0].last_line())
        if task.stopping:
            self._advance_stop(task, all_ended=all(code is not None for code in codes.values()))

    def find(self, arn: str) -> Task | None:
        """A task that has not stopped."""
        with self._lock:
            return self._tasks.get(arn)

    def kill_all(self) -> None:
        """End every process now."""
        with self._lock:
            tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            for container in task.containers:
                container.kill()
                container.forget()
        self._logs.clear()

    def forward_logs(self) -> None:
        """Bring what containers wrote to their log groups."""
        self._logs.flush()

    def _launch(self, task: Task, definition: Mapping[str, Any], overrides: Mapping[str, Mapping[str, Any]]) -> None:
        record = task.record
        for item in definition["containerDefinitions"]:
            self._check_image(item["image"])
        record["pullStoppedAt"] = self._now()
        record["lastStatus"] = "ACTIVATING"
        for item, entry in zip(definition["containerDefinitions"], record["containers"], strict=True):
            container = self._start_container(task, item, overrides.get(item["name"], {}))
            task.containers.append(container)
            ports = [mapping["containerPort"] for mapping in item.get("portMappings", ())][:1]
            entry |= {
                "lastStatus": "RUNNING",
                "runtimeId": str(container.pid),
                "networkBindings": [
                    {"bindIP": HOST, "containerPort": port, "hostPort": container.port, "protocol": "tcp"}
                    for port in ports
                ],
            }
        self._register(task)
        record |= {"lastStatus": "RUNNING", "startedAt": self._now()}
        self._ecs._bump_task_version(record)
        self._refresh(task)

    def _check_image(self, reference: str) -> None:
        image = Image.parse(reference)
        with self._request_scope(image.account, image.region):
            found = self._ecr._find_image(image.repository, image.identifier)
        if found is None:
            raise ImagePullError(
                f"CannotPullContainerError: pull image manifest has been retried 1 time(s): "
                f"failed to resolve ref {reference}: {reference}: not found"
            )

    def _start_container(self, task: Task, definition: Mapping[str, Any], override: Mapping[str, Any]) -> Container:
        account, region = task.scope
        port = pm_postgres.free_port()
        image = Image.parse(definition["image"])
        task_id = task.arn.rpartition("/")[2]
        name = f"{next(self._numbers):04d}-{definition['name']}-{task_id}"
        scratch = self._directory / name
        scratch.mkdir()
        variables = environment(
            definition,
            secrets=self._ecs._resolve_container_secrets(definition),
            overrides={item["name"]: str(item["value"]) for item in override.get("environment", ())},
            endpoint=self._extension.endpoint,
            account=account,
            region=region,
            port=port,
            scratch=scratch,
        )
        container = Container(
            definition,
            argv=command(self._images, image.repository, override.get("command") or definition.get("command") or ()),
            variables=variables,
            port=port,
            log_file=self._directory / f"{name}.log",
            scratch=scratch,
        )
        destination = self._ecs._awslogs_config(definition, task_id, task_id)
        if destination is not None:
            self._logs.follow(container, destination, task.scope)
        return container

    def _register(self, task: Task) -> None:
        """Register with the target groups of the task's service, and show the address as AWS shows a network card's."""
        ports = {container.name: container.port for container in task.containers}
        for balancer in self.service_of(task).get("loadBalancers", ()):
            port = ports[balancer["containerName"]]
            task.targets.append((balancer["targetGroupArn"], port))
            self._traffic.register(balancer["targetGroupArn"], HOST, port)
        details = [{"name": "privateIPv4Address", "value": HOST}]
        if task.record.get("_subnet"):
            details.insert(0, {"name": "subnetId", "value": task.record["_subnet"]})
        if task.record.get("_network_mode") == "awsvpc":
            attachment = {"id": self._ecs.new_uuid(), "type": "ElasticNetworkInterface", "status": "ATTACHED"}
            task.record["attachments"] = [{**attachment, "details": details}]

    def service_of(self, task: Task) -> Record:
        """The record of the service that started a task; empty when none did."""
        kind, _, name = str(task.record.get("group", "")).partition(":")
        if kind != "service":
            return {}
        cluster = str(task.record["clusterArn"]).rpartition("/")[2]
        record: Record | None = self._ecs._services.get_scoped(*task.scope, f"{cluster}/{name}")
        return record or {}

    def _failed_to_start(self, task: Task, reason: str) -> None:
        log.warning("task %s: %s", task.arn, reason)
        task.failed = True
        for container in task.containers:
            container.kill()
        self.request_stop(task, reason=reason, code="TaskFailedToStart")

    def _advance_stop(self, task: Task, *, all_ended: bool) -> None:
        if not all_ended:
            if any(self._traffic.health(group, HOST, port) is not None for group, port in task.targets):
                return  # requests under way end first
            now = time.monotonic()
            if task.terminated_at is None:
                task.terminated_at = now
                task.record["lastStatus"] = "STOPPING"
                for container in task.containers:
                    container.terminate()
                return
            for container in task.containers:
                if container.exit_code() is None and now - task.terminated_at > container.stop_timeout_seconds:
                    log.warning("task %s: %s did not end on SIGTERM and is killed", task.arn, container.name)
                    container.kill()
            return
        for container in task.containers:
            self._logs.drain(container)
            container.forget()
        ended_at = self._now()
        task.record |= {"lastStatus": "STOPPED", "stoppedAt": ended_at, "executionStoppedAt": ended_at}
        self._ecs._bump_task_version(task.record)
        for entry in task.record["containers"]:
            entry["lastStatus"] = "STOPPED"
        with self._lock:
            self._tasks.pop(task.arn, None)
        self._refresh(task)

    def _refresh(self, task: Task) -> None:
        cluster = str(task.record["clusterArn"]).rpartition("/")[2]
        with self._request_scope(*task.scope):
            self._ecs._recount_cluster(cluster)
            self._ecs._refresh_service_state(cluster, task.record.get("group", ""))

    def _now(self) -> str:
        now: str = self._ecs._iso()
        return now


def images_from(value: str) -> dict[str, list[str]]:
    """Read PM_CLOUD_IMAGES: a JSON object, repository name prefix -> argv.

    Raises:
        ValueError: It is not of that form.
    """
    images = json.loads(value or "{}")
    if not isinstance(images, dict) or not all(
        isinstance(argv, list) and argv and all(isinstance(part, str) for part in argv) for argv in images.values()
    ):
        raise ValueError("PM_CLOUD_IMAGES is not a JSON object of repository name prefix -> [program, argument, ...]")
    return images
