"""The service scheduler: a thread that brings every service to what its record asks for, ten times a second."""

import json
import logging
import threading
import time
from typing import Any

from pm_rehearsal.cloud.balancing import Traffic
from pm_rehearsal.cloud.ecs.containers import HOST
from pm_rehearsal.cloud.ecs.decisions import (
    ENDLESS_FAILURES,
    Complete,
    Decision,
    GiveUp,
    Phase,
    ServiceView,
    Start,
    Stop,
    TaskView,
    decide,
    failure_limit,
)
from pm_rehearsal.cloud.ecs.tasks import Record, Task, Tasks
from pm_rehearsal.cloud.extension import Extension

LOOK_SECONDS = 0.1
LOG_SECONDS = 1.0
SETTLE_SECONDS = 1.0
"""How long a task without a load balancer must run to count as healthy."""
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
EVENTS = 100

log = logging.getLogger(__name__)


class Scheduler:
    """Keeps services at their desired count and rolls deployments out."""

    def __init__(self, extension: Extension, traffic: Traffic, tasks: Tasks) -> None:
        self._extension = extension
        self._traffic = traffic
        self._tasks = tasks
        self._ecs = extension.module("services.ecs")
        self._eventbridge = extension.module("services.eventbridge")
        self._request_scope = extension.module("core.responses").request_scope
        self._changed = threading.Condition()
        self._stopped = False
        self._not_before: dict[str, float] = {}  # deployment id -> monotonic time of its next start
        self._last_logs = 0.0

    def start(self) -> None:
        """Start looking."""
        self._extension.on_reset(self._reset)
        self._extension.on_stop(self._stop)
        self._extension.background("ecs", self._run)

    def wake(self) -> None:
        """Look at once."""
        with self._changed:
            self._changed.notify_all()

    def _reset(self) -> None:
        with self._changed:  # no task is started between the two
            self._ecs._services.clear()
            self._tasks.kill_all()

    def _stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            self._tasks.kill_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait(LOOK_SECONDS)
                if self._stopped:
                    return
                try:
                    self._look()
                except Exception:  # one malformed record must not stop every service
                    log.exception("services could not be brought in line with their records")

    def _look(self) -> None:
        for task in self._tasks.all():
            self._tasks.advance(task)
            if task.failed and not task.counted:
                task.counted = True
                self._count_failure(task)
        for (account, region, key), record in self._ecs._services.all_items():
            if record["status"] not in ("ACTIVE", "DRAINING"):
                continue
            with self._request_scope(account, region):
                self._attend(key.partition("/")[0], record)
        if time.monotonic() - self._last_logs > LOG_SECONDS:
            self._last_logs = time.monotonic()
            self._tasks.forward_logs()

    def _attend(self, cluster: str, record: Record) -> None:
        views = [self._view(item, record) for item in self._records_of(record)]
        if record["status"] == "DRAINING":
            for view in views:
                self._apply(Stop(arn=view.arn, reason="Service deleted"), cluster, record)
            if not views:
                record["status"] = "INACTIVE"
                self._ecs._recount_cluster(cluster)
            return
        for decision in decide(self._service_view(record), views):
            self._apply(decision, cluster, record)

    def _records_of(self, service: Record) -> list[Record]:
        group = f"service:{service['serviceName']}"
        return [
            task
            for task in list(self._ecs._tasks.values())
            if task.get("group") == group
            and task["clusterArn"] == service["clusterArn"]
            and task["lastStatus"] != "STOPPED"
        ]

    def _view(self, record: Record, service: Record) -> TaskView:
        return TaskView(
            arn=record["taskArn"],
            deployment=record["_deployment_id"] or "",
            phase=self._phase(self._tasks.find(record["taskArn"]), service),
        )

    def _phase(self, task: Task | None, service: Record) -> Phase:
        if task is None:
            return Phase.STARTING
        if task.stopping:
            return Phase.STOPPING
        if task.record["lastStatus"] != "RUNNING":
            return Phase.STARTING
        age = time.monotonic() - task.started_at
        found = [self._traffic.health(group, HOST, port) for group, port in task.targets]
        states = {"" if health is None else health.state for health in found}
        if states == {"healthy"} or (not states and age > SETTLE_SECONDS):
            if not task.was_healthy:
                task.was_healthy = True
                self._forgive(task, service)
            return Phase.HEALTHY
        if "unhealthy" in states and age > float(service.get("healthCheckGracePeriodSeconds") or 0):
            return Phase.UNHEALTHY
        return Phase.STARTING

    def _service_view(self, record: Record) -> ServiceView:
        deployment = self._ecs._primary_deployment(record)
        settings = record.get("deploymentConfiguration") or {}
        breaker = settings.get("deploymentCircuitBreaker") or {}
        threshold = breaker.get("thresholdConfiguration") or {}
        limit = failure_limit(
            record["desiredCount"], kind=threshold.get("type", "BOUNDED_PERCENT"), value=threshold.get("value", 50)
        )
        return ServiceView(
            desired=record["desiredCount"],
            deployment=deployment["id"],
            in_progress=deployment["rolloutState"] == "IN_PROGRESS",
            gave_up=deployment["rolloutState"] == "FAILED",
            failures=deployment["failedTasks"],
            failure_limit=limit if breaker.get("enable") else ENDLESS_FAILURES,
            can_roll_back=bool(breaker.get("rollback")) and self._completed_before(record) is not None,
            may_start=time.monotonic() >= self._not_before.get(deployment["id"], 0.0),
            minimum_percent=int(settings.get("minimumHealthyPercent", 100)),
            maximum_percent=int(settings.get("maximumPercent", 200)),
        )

    def _apply(self, decision: Decision, cluster: str, record: Record) -> None:
        match decision:
            case Start(count=count):
                self._start_tasks(count, cluster, record)
            case Stop(arn=arn, reason=reason, failed=failed):
                task = self._tasks.find(arn)
                if task is not None:
                    task.failed = task.failed or failed
                    self._tasks.request_stop(task, reason=reason, code="ServiceSchedulerInitiated")
            case Complete():
                self._complete(record)
            case GiveUp(roll_back=roll_back):
                self._give_up(record, roll_back=roll_back)

    def _start_tasks(self, count: int, cluster: str, record: Record) -> None:
        deployment = self._ecs._primary_deployment(record)
        status, _, body = self._ecs._run_task(
            {
                "cluster": cluster,
                "taskDefinition": deployment["taskDefinition"],
                "count": count,
                "group": f"service:{record['serviceName']}",
                "startedBy": deployment["id"],
                "launchType": record.get("launchType"),
                "capacityProviderStrategy": record.get("capacityProviderStrategy"),
                "platformVersion": record.get("platformVersion", ""),
                "networkConfiguration": record.get("networkConfiguration", {}),
                "enableExecuteCommand": record.get("enableExecuteCommand", False),
                "_deploymentId": deployment["id"],
            }
        )
        if status >= 400:
            self._failed(record, deployment, body.decode(errors="replace"))
            return
        self._event(record, f"has started {count} tasks.")

    def _count_failure(self, task: Task) -> None:
        record = self._tasks.service_of(task)
        for deployment in record.get("deployments", ()):
            if deployment["id"] == task.record["_deployment_id"]:
                self._failed(record, deployment, _why(task))

    def _failed(self, record: Record, deployment: Record, why: str) -> None:
        deployment["failedTasks"] += 1
        deployment["_last_failure"] = why
        pause = min(FIRST_PAUSE_SECONDS * 2 ** (deployment["failedTasks"] - 1), LONGEST_PAUSE_SECONDS)
        self._not_before[deployment["id"]] = time.monotonic() + pause
        self._event(record, f"was unable to keep a task running: {why}")

    def _forgive(self, task: Task, record: Record) -> None:
        for deployment in record["deployments"]:
            if deployment["id"] == task.record["_deployment_id"]:
                deployment["failedTasks"] = 0

    def _complete(self, record: Record) -> None:
        deployment = self._ecs._primary_deployment(record)
        deployment |= {
            "rolloutState": "COMPLETED",
            "rolloutStateReason": f"ECS deployment {deployment['id']} completed.",
            "updatedAt": self._ecs._iso(),
            "failedTasks": 0,
        }
        record["deployments"] = [deployment]
        self._event(record, "has reached a steady state.")
        self._announce(record, deployment, "INFO", "SERVICE_DEPLOYMENT_COMPLETED")

    def _give_up(self, record: Record, *, roll_back: bool) -> None:
        deployment = self._ecs._primary_deployment(record)
        why = f"tasks failed to start: {deployment.get('_last_failure', 'no reason known')}"
        record.setdefault("_failures", {})[deployment["id"]] = why
        deployment |= {
            "rolloutState": "FAILED",
            "rolloutStateReason": f"ECS deployment circuit breaker: {why}",
            "updatedAt": self._ecs._iso(),
        }
        self._event(record, f"(deployment {deployment['id']}) deployment failed: {why}")
        self._announce(record, deployment, "ERROR", "SERVICE_DEPLOYMENT_FAILED")
        before = self._completed_before(record)
        if not roll_back or before is None:
            deployment["desiredCount"] = 0
            return
        deployment |= {"status": "ACTIVE", "desiredCount": 0}
        before |= {
            "status": "PRIMARY",
            "desiredCount": record["desiredCount"],
            "rolloutState": "IN_PROGRESS",
            "rolloutStateReason": f"ECS deployment circuit breaker: rolling back to {before['taskDefinition']}.",
            "failedTasks": 0,
            "updatedAt": self._ecs._iso(),
        }
        record["taskDefinition"] = before["taskDefinition"]
        self._event(record, f"(deployment {deployment['id']}) rolling back to deployment {before['id']}.")

    def _completed_before(self, record: Record) -> Record | None:
        others = [item for item in record["deployments"] if item["status"] != "PRIMARY"]
        return next((item for item in others if item["rolloutState"] == "COMPLETED"), None)

    def _announce(self, record: Record, deployment: Record, kind: str, name: str) -> None:
        """Tell EventBridge. Source: Amazon ECS developer guide, "Amazon ECS service deployment state change events"."""
        detail = {
            "eventType": kind,
            "eventName": name,
            "deploymentId": deployment["id"],
            "reason": deployment["rolloutStateReason"],
        }
        entry = {
            "Source": "aws.ecs",
            "DetailType": "ECS Deployment State Change",
            "Resources": [record["serviceArn"]],
            "Detail": json.dumps(detail),
        }
        self._eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)

    def _event(self, record: Record, text: str) -> None:
        event: dict[str, Any] = {
            "id": self._ecs.new_uuid(),
            "createdAt": self._ecs._iso(),
            "message": f"(service {record['serviceName']}) {text}",
        }
        record["events"].insert(0, event)
        del record["events"][EVENTS:]


def _why(task: Task) -> str:
    """Why a task ended, with the exit code and the last words of its container where it has some."""
    reason = str(task.record["stoppedReason"])
    ended = next((item for item in task.containers if item.essential and item.exit_code() is not None), None)
    if task.record["stopCode"] != "EssentialContainerExited" or ended is None:
        return reason
    return f"{reason} ({ended.name}: exit code {ended.exit_code()}: {ended.last_line() or 'no output'})"
