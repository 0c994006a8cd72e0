"""Keeps one balancer process per load balancer, told what MiniStack's records and the registered targets say.

Level-triggered: a thread compares what should be with what runs, ten times a second and whenever something here
changed, so that it does not matter through which door (API, CloudFormation) a record came.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from pm_rehearsal.cloud.balancer import Configuration, Redirect, Target
from pm_rehearsal.cloud.balancer.child import BalancerChild
from pm_rehearsal.cloud.balancing.metrics import full_name, publish_counters, publish_hosts
from pm_rehearsal.cloud.balancing.records import configuration, deregistration_seconds
from pm_rehearsal.cloud.certificates import certificate_file, note_use
from pm_rehearsal.cloud.extension import Extension

HOST = "127.0.0.1"
LOOK_SECONDS = 0.1
HOST_COUNT_SECONDS = 10.0
RESTART_SECONDS = 2.0
"""Least time between two starts of the same load balancer's process."""
_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "LANG", "TMPDIR")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What DescribeTargetHealth tells of a target.

    Attributes:
        state: initial, healthy, unhealthy, draining or unused.
        reason: AWS's code; empty when healthy.
    """

    state: str
    reason: str = ""
    description: str = ""


_NEW = Health(state="initial", reason="Elb.RegistrationInProgress", description="Target registration is in progress")
_DRAINING = Health(
    state="draining", reason="Target.DeregistrationInProgress", description="Target deregistration is in progress"
)
_UNUSED = Health(
    state="unused",
    reason="Target.NotInUse",
    description="Target group is not configured to receive traffic from the load balancer",
)


@dataclass(slots=True)
class _Registration:
    target: Target
    health: Health = _NEW
    gone_at: float | None = None  # monotonic time at which a draining target is cut off


@dataclass(slots=True)
class _Running:
    child: BalancerChild
    configuration: Configuration
    dns_name: str
    scope: tuple[str, str]


class Traffic:
    """The load balancers that run, and the targets registered with them; safe to use from any thread."""

    def __init__(self, extension: Extension) -> None:
        self._extension = extension
        self._alb = extension.module("services.alb")
        self._cloudwatch = extension.module("services.cloudwatch")
        self._request_scope: Callable[[str, str], AbstractContextManager[None]] = extension.module(
            "core.responses"
        ).request_scope
        self._changed = threading.Condition()
        self._stopped = False
        self._registrations: dict[str, dict[str, _Registration]] = {}
        self._running: dict[str, _Running] = {}
        self._ports: dict[str, int] = {}
        self._started: dict[str, float] = {}  # load balancer ARN -> monotonic time of its process's last start
        self._hosts_published = 0.0

    def start(self) -> None:
        """Start looking."""
        self._extension.on_reset(self._reset)
        self._extension.on_stop(self.stop)
        self._extension.background("load-balancers", self._run)

    def register(self, group: str, host: str, port: int) -> None:
        """Add a target to a target group (ARN); it starts as initial."""
        with self._changed:
            registered = self._registrations.setdefault(group, {})
            target = Target(host=host, port=port)
            if target.key not in registered or registered[target.key].target.draining:
                registered[target.key] = _Registration(target)
            self._changed.notify_all()

    def deregister(self, group: str, host: str, port: int) -> None:
        """Send a target nothing more; it is gone once its requests ended or the deregistration delay passed."""
        with self._changed:
            registered = self._registrations.get(group, {})
            key = Target(host=host, port=port).key
            registration = registered.get(key)
            if registration is None or registration.target.draining:
                return
            if group not in self._served_groups():
                del registered[key]
                return
            with self._request_scope(*_scope(group)):
                delay = deregistration_seconds(self._alb, group)
            registration.target = Target(host=host, port=port, draining=True)
            registration.health = _DRAINING
            registration.gone_at = time.monotonic() + delay
            self._changed.notify_all()

    def targets(self, group: str) -> list[tuple[Target, Health]]:
        """The registered targets of a group, those that drain too."""
        with self._changed:
            served = group in self._served_groups()
            return [
                (registration.target, registration.health if served else _UNUSED)
                for registration in self._registrations.get(group, {}).values()
            ]

    def health(self, group: str, host: str, port: int) -> Health | None:
        """A target's health; None when it is not registered (any more)."""
        key = Target(host=host, port=port).key
        return next((health for target, health in self.targets(group) if target.key == key), None)

    def endpoint(self, dns_name: str, *, port: int | None = None) -> tuple[str, int] | None:
        """Where the load balancer with this DNS name listens; None when there is none, or it does not listen yet.

        Of several listeners it is the one for ``port`` (as on AWS), by default the first that does not only redirect,
        HTTP before HTTPS, lowest port first.
        """
        wanted = dns_name.rstrip(".").lower()
        with self._changed:
            running = next((item for item in self._running.values() if item.dns_name == wanted), None)
            if running is None:
                return None
            listeners = sorted(
                (
                    listener
                    for listener in running.configuration.listeners
                    if listener.arn in running.child.ports and port in (None, listener.port)
                ),
                key=lambda item: (isinstance(item.rules[-1].action, Redirect), item.protocol, item.port),
            )
            return (HOST, running.child.ports[listeners[0].arn]) if listeners else None

    def knows(self, dns_name: str) -> bool:
        """Whether a load balancer of this DNS name exists."""
        wanted = dns_name.rstrip(".").lower()
        return any(record["DNSName"].lower() == wanted for _, record in self._alb._lbs.all_items())

    def serves(self, dns_name: str) -> bool:
        """Whether every target group of this load balancer has a healthy target (EvaluateTargetHealth)."""
        wanted = dns_name.rstrip(".").lower()
        with self._changed:
            running = next((item for item in self._running.values() if item.dns_name == wanted), None)
            return running is not None and all(
                any(item.health.state == "healthy" for item in self._registrations.get(group.arn, {}).values())
                for group in running.configuration.groups
            )

    def clear(self) -> None:
        """Stop every balancer and forget every target."""
        with self._changed:
            running, self._running = list(self._running.values()), {}
            self._registrations.clear()
            self._ports.clear()
            self._started.clear()
        for item in running:
            item.child.stop()

    def stop(self) -> None:
        """Stop for good."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self.clear()

    def _reset(self) -> None:
        with self._changed:  # none is started again between the two
            self._alb._lbs.clear()
            self.clear()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._stopped:
                    return
                try:
                    self._reconcile()
                except Exception:  # one malformed record must not stop every load balancer
                    log.exception("load balancers could not be brought in line with their records")
                self._changed.wait(LOOK_SECONDS)

    def _reconcile(self) -> None:
        self._expire()
        records = {key[-1]: (key[:2], record) for key, record in self._alb._lbs.all_items()}
        for listener in self._listeners():
            if listener["LoadBalancerArn"] in records:  # MiniStack keeps those of a deleted load balancer
                for certificate in listener.get("Certificates", ()):
                    note_use(self._extension, certificate, listener["LoadBalancerArn"])
        for arn in set(self._running) - set(records):
            self._running.pop(arn).child.stop()
        for arn, (scope, record) in records.items():
            with self._request_scope(*scope):
                wanted = configuration(
                    self._alb,
                    record,
                    self._wanted_targets(),
                    certificate_file=partial(certificate_file, self._extension),
                )
            running = self._running.get(arn)
            if running is None:
                if time.monotonic() - self._started.get(arn, -RESTART_SECONDS) < RESTART_SECONDS:
                    continue
                self._started[arn] = time.monotonic()
                running = self._running[arn] = _Running(
                    child=self._start(arn, scope), configuration=wanted, dns_name=record["DNSName"].lower(), scope=scope
                )
            running.configuration = wanted
            running.child.configure(wanted)
        if time.monotonic() - self._hosts_published > HOST_COUNT_SECONDS:
            self._publish_hosts()

    def _expire(self) -> None:
        now = time.monotonic()
        for registered in self._registrations.values():
            for key, registration in list(registered.items()):
                if registration.gone_at is not None and registration.gone_at < now:
                    del registered[key]

    def _wanted_targets(self) -> dict[str, Iterable[Target]]:
        return {
            group: [registration.target for registration in registered.values()]
            for group, registered in self._registrations.items()
        }

    def _start(self, arn: str, scope: tuple[str, str]) -> BalancerChild:
        name = full_name(arn)
        return BalancerChild(
            name=name,
            log_file=self._extension.directory / f"{name.replace('/', '-')}.log",
            ports=self._ports,
            environment={variable: os.environ[variable] for variable in _ENVIRONMENT if variable in os.environ},
            on_report=lambda report: self._take(arn, scope, report),
            on_end=lambda: self._ended(arn),
        )

    def _listeners(self) -> Iterator[dict[str, Any]]:
        return (record for _, record in self._alb._listeners.all_items())

    def _ended(self, arn: str) -> None:
        log.error("the process of load balancer %s ended unexpectedly; it is started again", full_name(arn))
        with self._changed:
            ended = self._running.pop(arn, None)
            if ended is not None:
                self._ports |= ended.child.ports  # clients know them
            self._changed.notify_all()

    def _take(self, arn: str, scope: tuple[str, str], report: dict[str, Any]) -> None:
        if report["type"] == "counters":
            with self._request_scope(*scope):
                publish_counters(self._cloudwatch, full_name(arn), report)
            return
        with self._changed:
            registered = self._registrations.get(report["group"], {})
            registration = registered.get(report["target"])
            if registration is None:
                return
            if report["type"] == "drained":
                if registration.target.draining:
                    del registered[report["target"]]
            elif not registration.target.draining:
                registration.health = Health(
                    state=report["state"], reason=report["reason"], description=report["description"]
                )
                self._publish_hosts()
            self._changed.notify_all()

    def _served_groups(self) -> set[str]:
        return {group.arn for running in self._running.values() for group in running.configuration.groups}

    def _publish_hosts(self) -> None:
        self._hosts_published = time.monotonic()
        for arn, running in self._running.items():
            for group in running.configuration.groups:
                states = [item.health.state for item in self._registrations.get(group.arn, {}).values()]
                if states:
                    with self._request_scope(*running.scope):
                        publish_hosts(
                            self._cloudwatch,
                            full_name(arn),
                            group.arn,
                            healthy=states.count("healthy"),
                            unhealthy=states.count("unhealthy"),
                        )


def traffic_of(extension: Extension) -> Traffic:
    """The one Traffic of an extension; started when it is first asked for."""
    if extension not in _INSTANCES:
        _INSTANCES[extension] = Traffic(extension)
        _INSTANCES[extension].start()
    return _INSTANCES[extension]


_INSTANCES: WeakKeyDictionary[Extension, Traffic] = WeakKeyDictionary()


def _scope(arn: str) -> tuple[str, str]:
    parts = arn.split(":")
    return parts[4], parts[3]
