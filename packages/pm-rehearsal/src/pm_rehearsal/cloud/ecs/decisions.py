"""What a service scheduler does next, from what it sees: pure, no I/O.

A service keeps ``desired`` healthy tasks of its newest deployment. Tasks of older deployments are stopped only as far
as the healthy ones never fall below the minimum, and new ones are started only as far as all together stay within the
maximum. A deployment that keeps failing is given up, and undone when the service asks for that.
"""

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

ENDLESS_FAILURES = 10
"""Failed tasks after which a deployment without a circuit breaker is reported as failed; AWS goes on for hours."""


class Phase(enum.Enum):
    """Of a task, as its service sees it."""

    STARTING = enum.auto()  # not yet healthy
    HEALTHY = enum.auto()
    UNHEALTHY = enum.auto()  # its load balancer gave it up
    STOPPING = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """One task that has not stopped."""

    arn: str
    deployment: str
    phase: Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceView:
    """A service at one moment.

    Attributes:
        deployment: Id of the primary deployment.
        in_progress: Whether it still rolls out.
        gave_up: Whether it failed; nothing is started for it any more.
        failures: Tasks of it that failed in a row.
        failure_limit: Failures after which it is given up; None when only a person ends it.
        can_roll_back: The service wants it, and there is a completed deployment to go back to.
        may_start: False while the scheduler waits after a failure.
    """

    desired: int
    deployment: str
    in_progress: bool
    gave_up: bool
    failures: int
    failure_limit: int | None
    can_roll_back: bool
    may_start: bool
    minimum_percent: int
    maximum_percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Start tasks of the primary deployment."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Drain and stop a task."""

    arn: str
    reason: str
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """The primary deployment has reached its steady state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """The primary deployment has failed."""

    roll_back: bool


Decision = Start | Stop | Complete | GiveUp


def decide(service: ServiceView, tasks: Sequence[TaskView]) -> list[Decision]:
    """The next moves; none when the service is as it should be or has to wait."""
    if _is_hopeless(service):
        return [GiveUp(roll_back=service.can_roll_back)]
    unhealthy = [task for task in tasks if task.phase is Phase.UNHEALTHY]
    decisions: list[Decision] = [
        Stop(arn=task.arn, reason="Task failed ELB health checks", failed=True) for task in unhealthy
    ]
    active = [task for task in tasks if task.phase in (Phase.STARTING, Phase.HEALTHY)]
    current = [task for task in active if task.deployment == service.deployment]
    older = [task for task in active if task.deployment != service.deployment]
    if service.gave_up:
        return decisions
    decisions += _start(service, current, active)
    decisions += _scale_in(service, current)
    decisions += _retire(service, older, active)
    remaining = [task for task in tasks if task.deployment != service.deployment]
    healthy = sum(task.phase is Phase.HEALTHY for task in current)
    if service.in_progress and healthy == len(current) == service.desired and not remaining:
        decisions.append(Complete())
    return decisions


def failure_limit(desired: int, *, kind: str = "BOUNDED_PERCENT", value: float = 50) -> int:
    """How many failures trip a circuit breaker.

    Source: "How the Amazon ECS deployment circuit breaker detects failures": half the desired count, at least 3 and at
    most 200, unless its ThresholdConfiguration says otherwise.
    """
    if kind == "COUNT":
        return max(1, int(value))
    share = math.ceil(value * desired / 100)
    return max(1, share) if kind == "UNBOUNDED_PERCENT" else min(200, max(3, share))


def _is_hopeless(service: ServiceView) -> bool:
    limit = service.failure_limit
    return service.in_progress and limit is not None and service.failures >= limit


def _start(service: ServiceView, current: Sequence[TaskView], active: Sequence[TaskView]) -> list[Decision]:
    most = max(1, service.desired * service.maximum_percent // 100)
    count = min(service.desired - len(current), most - len(active))
    return [Start(count=count)] if count > 0 and service.may_start else []


def _scale_in(service: ServiceView, current: Sequence[TaskView]) -> list[Decision]:
    surplus = len(current) - service.desired
    if surplus <= 0:
        return []
    unhealthy_first = sorted(current, key=lambda task: task.phase is Phase.HEALTHY)
    return [Stop(arn=task.arn, reason="Scaling activity") for task in unhealthy_first[:surplus]]


def _retire(service: ServiceView, older: Sequence[TaskView], active: Sequence[TaskView]) -> list[Decision]:
    least = math.ceil(service.desired * service.minimum_percent / 100)
    spare = sum(task.phase is Phase.HEALTHY for task in active) - least
    decisions: list[Decision] = []
    for task in older:
        if task.phase is Phase.HEALTHY:
            if spare <= 0:
                continue
            spare -= 1
        decisions.append(Stop(arn=task.arn, reason="Deployment replaced the task"))
    return decisions
