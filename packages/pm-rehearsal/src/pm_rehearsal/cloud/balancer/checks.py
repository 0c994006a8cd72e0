"""Health checks of targets, as a target group's settings ask for them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from pm_rehearsal.cloud.balancer.configuration import HealthCheck
from pm_rehearsal.cloud.balancer.targets import Group, Member, State
from pm_rehearsal.cloud.balancer.tls import target_context

FIRST_CHECKS_SECONDS = 0.2
"""Pause between checks of a target that was never healthy; AWS waits a whole interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check saw; ``reason`` is DescribeTargetHealth's code, empty on success."""

    healthy: bool
    reason: str = ""
    description: str = ""


OnChange = Callable[[Group, Member, Finding], None]


class Checker:
    """Checks one target until it is cancelled.

    A new target needs one success, as on AWS; afterwards the thresholds count.
    """

    def __init__(self, group: Group, member: Member, on_change: OnChange) -> None:
        self._group = group
        self._member = member
        self._on_change = on_change
        self._streak = 0  # consecutive findings that speak against the current state

    async def run(self) -> None:
        """Check, wait, and so on."""
        started = asyncio.get_running_loop().time()
        while True:
            settings = self._group.settings.health_check
            finding = await check(settings, self._member)
            waited = asyncio.get_running_loop().time() - started
            self._judge(settings, finding, out_of_patience=waited > _patience_seconds(settings))
            first = self._member.state is State.INITIAL
            await asyncio.sleep(
                min(FIRST_CHECKS_SECONDS, settings.interval_seconds) if first else settings.interval_seconds
            )

    def _judge(self, settings: HealthCheck, finding: Finding, *, out_of_patience: bool) -> None:
        state = self._member.state
        if state is State.DRAINING:
            return
        if state is State.INITIAL:
            if finding.healthy or out_of_patience:
                self._change(State.HEALTHY if finding.healthy else State.UNHEALTHY, finding)
            return
        if finding.healthy is (state is State.HEALTHY):
            self._streak = 0
            return
        self._streak += 1
        needed = settings.healthy_threshold if finding.healthy else settings.unhealthy_threshold
        if self._streak >= needed:
            self._change(State.HEALTHY if finding.healthy else State.UNHEALTHY, finding)

    def _change(self, state: State, finding: Finding) -> None:
        self._streak = 0
        self._member.state = state
        self._on_change(self._group, self._member, finding)


async def check(settings: HealthCheck, member: Member) -> Finding:
    """Ask the target once."""
    host, port = member.target.host, settings.port or member.target.port
    try:
        async with asyncio.timeout(settings.timeout_seconds):
            reader, writer = await asyncio.open_connection(host, port, ssl=target_context() if settings.tls else None)
            try:
                if not settings.path:
                    return Finding(healthy=True)
                writer.write(
                    f"GET {settings.path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n"
                    "User-Agent: ELB-HealthChecker/2.0\r\nAccept-Encoding: gzip, compressed\r\n\r\n".encode()
                )
                status = await reader.readline()
            finally:
                writer.close()
    except TimeoutError:
        return Finding(healthy=False, reason="Target.Timeout", description="Request timed out")
    except OSError as error:
        return Finding(
            healthy=False, reason="Target.FailedHealthChecks", description=f"Health checks failed: {error.strerror}"
        )
    code = status.split(b" ")[1:2]
    if not code or not code[0].isdigit():
        return Finding(
            healthy=False, reason="Target.FailedHealthChecks", description="Health checks failed: no HTTP answer"
        )
    if not accepts(settings.codes, int(code[0])):
        return Finding(
            healthy=False,
            reason="Target.ResponseCodeMismatch",
            description=f"Health checks failed with these codes: [{int(code[0])}]",
        )
    return Finding(healthy=True)


def accepts(codes: str, status: int) -> bool:
    """Whether a matcher such as ``200,202`` or ``200-299`` names the status."""
    for part in codes.split(","):
        low, _, high = part.strip().partition("-")
        if int(low) <= status <= int(high or low):
            return True
    return False


def _patience_seconds(settings: HealthCheck) -> float:
    """How long a new target may take before it counts as unhealthy: as many intervals as AWS would wait."""
    return settings.interval_seconds * settings.unhealthy_threshold
