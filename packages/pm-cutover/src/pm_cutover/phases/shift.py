"""`pm shift`: traffic from one environment to the other, step by step; a step that goes wrong is taken back."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from botocore.exceptions import BotoCoreError, ClientError

from pm_cutover.aws.services import Service
from pm_cutover.aws.traffic import Traffic, Weights
from pm_cutover.errors import PersonNeededError, PmError, RefusedError, UsageError
from pm_cutover.phases.gates import firing_alarms
from pm_cutover.phases.run import Run

LOOK_SECONDS = 5.0
MAX_ERROR_RATE = 0.01
MIN_ERRORS = 5
UNHEALTHY_LOOKS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftResult:
    """Where the traffic is.

    Attributes:
        before: Weights before.
        after: Weights now.
        steps: The shares of the target, in percent, that were gone through.
    """

    before: Weights
    after: Weights
    steps: tuple[int, ...]


def parse_steps(text: str) -> tuple[int, ...]:
    """The target's shares from ``5,25,50,100``.

    Raises:
        UsageError: One of them is not a whole number from 0 to 100.
    """
    steps: list[int] = []
    for part in text.split(","):
        if not part.strip().isdecimal() or int(part) > 100:
            raise UsageError(f"step {part!r}: allowed are whole percents from 0 to 100, for example 5,25,50,100")
        steps.append(int(part))
    return tuple(steps)


def remaining_steps(steps: Sequence[int], share: float) -> tuple[int, ...]:
    """Leave out what an earlier run went through: in rising steps, those below the share that is reached already."""
    rising = list(steps) == sorted(steps)
    if not rising or steps[-1] < share:
        return tuple(steps)
    return tuple(step for step in steps if step >= share)


def shift(run: Run, *, steps: Sequence[int], bake_seconds: float) -> ShiftResult:
    """Go through the shares, watching the target for ``bake_seconds`` at each.

    Raises:
        RefusedError: The target is not fit for more traffic, or was not during a bake; then the weights are as before
            that step. So they are when it could not be watched.
        PersonNeededError: A step could not be taken back.
    """
    with run.alone(both=False):
        traffic = run.deployment.traffic()
        before = traffic.recorded()
        todo = remaining_steps(steps, before.target_percent)
        for percent in todo:
            _step(run, traffic, Weights.of_target(percent), bake_seconds, earlier=steps)
        return ShiftResult(before=before, after=traffic.recorded(), steps=todo)


def set_weights(run: Run, traffic: Traffic, weights: Weights) -> bool:
    """Set the weights, say and record it.

    Returns:
        Whether anything had to be changed.
    """
    changed = _apply(traffic, weights)
    run.progress.step(f"weights {weights} (source/target){'' if changed else ', as they were'}")
    run.evidence.record("weights", {"source": weights.source, "target": weights.target, "changed": changed})
    return changed


def _apply(traffic: Traffic, weights: Weights) -> bool:
    if weights.source:
        traffic.check_source()
    return traffic.set(weights)


def _step(run: Run, traffic: Traffic, weights: Weights, bake_seconds: float, *, earlier: Sequence[int]) -> None:
    before = traffic.recorded()
    if before == weights:  # an earlier run was killed while it baked: back means the step before
        before = Weights.of_target(max((step for step in earlier if step < weights.target_percent), default=0))
    if weights.target_percent <= before.target_percent:
        set_weights(run, traffic, weights)  # nor is it watched: what goes wrong there may be why the target gets less
        return
    watch = _Watch(run=run, service=run.deployment.service("target"))
    if problem := watch.problem(patience=1):
        raise RefusedError(f"{problem}: the weights stay at {before} (source/target); correct it and run again")
    try:
        set_weights(run, traffic, weights)
        problem = _bake(run, watch, weights, bake_seconds)
    except Exception as error:  # nobody watched the target: what it got is taken back, whatever went wrong
        _take_back(run, traffic, before, weights, str(error))
        error.add_note(f"the weights are back at {before} (source/target)")
        raise
    if problem:
        _take_back(run, traffic, before, weights, problem)
        run.evidence.record("reverted", {"reason": problem, "source": before.source, "target": before.target})
        raise RefusedError(
            f"{problem} at {weights}: the weights are back at {before} (source/target); correct it and run again"
        )


def _take_back(run: Run, traffic: Traffic, before: Weights, weights: Weights, why: str) -> None:
    """Set the weights of before; evidence, which may be what failed, comes later."""
    try:
        _apply(traffic, before)
    except (PmError, BotoCoreError, ClientError) as error:
        raise PersonNeededError(
            f"{why}; and the step could not be taken back ({error}): the weights may be {weights} (source/target), and "
            f"nobody watches: run `pm shift {before.target_percent:g}`"
        ) from error
    run.progress.step(f"weights {before} (source/target)")


def _bake(run: Run, watch: "_Watch", weights: Weights, seconds: float) -> str:
    """Watch the target; the first problem, empty when there was none."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        run.progress.waiting(f"baking at {weights} for another {left:.0f} s")
        time.sleep(min(LOOK_SECONDS, left))
        if problem := watch.problem(patience=UNHEALTHY_LOOKS):
            return problem
    return ""


@dataclass(slots=True, kw_only=True)
class _Watch:
    """Looks at alarms, health and errors of the target since it was made."""

    run: Run
    service: Service
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    bad_looks: int = 0
    errors_before: float = field(init=False)
    requests_before: float = field(init=False)
    running_before: int = field(init=False)

    def __post_init__(self) -> None:
        # Metrics come in whole minutes: what the first one held before us is not ours.
        self.errors_before = self.service.server_errors(since=self.since)
        self.requests_before = self.service.requests(since=self.since)
        self.running_before = self.service.health().running

    def problem(self, *, patience: int) -> str:
        """What is wrong, empty when nothing is; bad health counts after ``patience`` looks in a row."""
        firing = firing_alarms(self.run)
        if firing:
            return f"alarm {', '.join(alarm.name for alarm in firing)} fires ({firing[0].reason})"
        health = self.service.health()
        # More traffic makes autoscaling want more tasks, which take a minute to run: not fewer than there were is well.
        well = health.healthy > 0 and health.running >= min(self.running_before, health.desired)
        self.bad_looks = 0 if well else self.bad_looks + 1
        if self.bad_looks >= patience:
            return f"the target's service is unwell ({health})"
        errors = self.service.server_errors(since=self.since) - self.errors_before
        requests = self.service.requests(since=self.since) - self.requests_before
        if errors >= MIN_ERRORS and errors > MAX_ERROR_RATE * requests:
            return f"the target answered {errors:.0f} of {requests:.0f} requests with a server error"
        return ""
