"""Steps of a shift that go wrong, on stand-ins for Route 53, ECS and CloudWatch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from pm_cutover.aws.alarms import Alarm
from pm_cutover.aws.services import ServiceHealth
from pm_cutover.aws.traffic import Weights
from pm_cutover.errors import PersonNeededError, RefusedError, UsageError
from pm_cutover.evidence import EvidenceLog
from pm_cutover.phases.run import Run
from pm_cutover.phases.shift import shift
from pm_cutover.progress import ConsoleProgress


@dataclass
class Account:
    """The whole of AWS that a shift looks at; ``looks`` is what happens at the looks after the step."""

    weights: Weights = field(default_factory=lambda: Weights.of_target(5))
    throttled_after_looks: int | None = None
    looks: int = 0

    def traffic(self) -> "Account":
        return self

    def service(self, _environment: str) -> "Account":
        return self

    def recorded(self) -> Weights:
        return self.weights

    def check_source(self) -> None:
        pass

    def set(self, weights: Weights) -> bool:
        changed, self.weights = weights != self.weights, weights
        return changed

    def server_errors(self, *, since: datetime) -> float:
        assert since.tzinfo
        self.looks += 1
        if self.throttled_after_looks is not None and self.looks > self.throttled_after_looks:
            raise ClientError({"Error": {"Code": "Throttling", "Message": "Rate exceeded"}}, "GetMetricStatistics")
        return 0.0

    def health(self) -> ServiceHealth:
        return ServiceHealth(running=2, desired=2, healthy=2, unhealthy=0)

    def requests(self, *, since: datetime) -> float:
        assert since.tzinfo
        return 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AloneRun(Run):
    """A run whose databases nobody else uses."""

    @contextmanager
    def alone(self, *, both: bool = True) -> Iterator[None]:
        assert not both, "traffic can leave an environment whose database is down"
        yield


def run_on(account: Any, evidence: Path) -> Run:
    return AloneRun(
        deployment=cast(Any, account),
        progress=ConsoleProgress(),
        evidence=EvidenceLog(path=evidence, verb="shift", suffix="t"),
    )


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pm_cutover.phases.shift.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("pm_cutover.phases.shift.firing_alarms", lambda _run: ())


def test_a_good_step_stays(tmp_path: Path):
    account = Account()
    shift(run_on(account, tmp_path / "e.jsonl"), steps=(25,), bake_seconds=0.05)
    assert account.weights == Weights.of_target(25)


def test_a_bake_that_cannot_be_watched_takes_the_step_back(tmp_path: Path):
    account = Account(throttled_after_looks=3)
    with pytest.raises(ClientError, match="Throttling") as caught:
        shift(run_on(account, tmp_path / "e.jsonl"), steps=(25,), bake_seconds=5)
    assert account.weights == Weights.of_target(5)
    assert caught.value.__notes__ == ["the weights are back at 95/5 (source/target)"]


def test_a_step_without_evidence_is_taken_back(tmp_path: Path):
    account = Account()
    with pytest.raises(UsageError, match="evidence file"):
        shift(run_on(account, tmp_path / "missing" / "e.jsonl"), steps=(25,), bake_seconds=5)
    assert account.weights == Weights.of_target(5)


def test_an_alarm_takes_the_step_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    account = Account()
    alarm = Alarm(name="alarm-lag", state="ALARM", reason="90 s behind")
    monkeypatch.setattr(
        "pm_cutover.phases.shift.firing_alarms", lambda _run: (alarm,) if account.weights.target == 25 else ()
    )
    with pytest.raises(RefusedError, match=r"alarm-lag fires.*the weights are back at 95/5"):
        shift(run_on(account, tmp_path / "e.jsonl"), steps=(25,), bake_seconds=5)
    assert account.weights == Weights.of_target(5)


def test_less_traffic_for_a_target_that_fails_goes_through_all_its_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    account = Account(weights=Weights.of_target(100))
    alarm = Alarm(name="alarm-5xx", state="ALARM", reason="errors")
    monkeypatch.setattr("pm_cutover.phases.shift.firing_alarms", lambda _run: (alarm,))
    shift(run_on(account, tmp_path / "e.jsonl"), steps=(50, 5, 0), bake_seconds=5)
    assert account.weights == Weights.of_target(0)


def test_a_target_that_scales_out_keeps_its_traffic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    account = Account()
    healths = iter([ServiceHealth(running=2, desired=2, healthy=2, unhealthy=0)])
    more = ServiceHealth(running=2, desired=4, healthy=2, unhealthy=0)
    monkeypatch.setattr(account, "health", lambda: next(healths, more))
    shift(run_on(account, tmp_path / "e.jsonl"), steps=(25,), bake_seconds=0.2)
    assert account.weights == Weights.of_target(25)


def test_a_target_that_loses_tasks_loses_the_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    account = Account()
    healths = iter([ServiceHealth(running=2, desired=2, healthy=2, unhealthy=0)] * 2)
    fewer = ServiceHealth(running=1, desired=2, healthy=1, unhealthy=0)
    monkeypatch.setattr(account, "health", lambda: next(healths, fewer))
    with pytest.raises(RefusedError, match=r"unwell \(1 of 2 tasks run.*the weights are back at 95/5"):
        shift(run_on(account, tmp_path / "e.jsonl"), steps=(25,), bake_seconds=5)


def test_a_step_that_cannot_be_taken_back_needs_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    account = Account(throttled_after_looks=2)
    given = account.set

    def expired(weights: Weights) -> bool:
        if weights.target == 5:
            raise ClientError({"Error": {"Code": "ExpiredTokenException", "Message": "expired"}}, "GetParameters")
        return given(weights)

    monkeypatch.setattr(account, "set", expired)
    with pytest.raises(PersonNeededError, match=r"Throttling.*ExpiredToken.*may be 75/25 .*run `pm shift 5`"):
        shift(run_on(account, tmp_path / "e.jsonl"), steps=(25,), bake_seconds=5)


def test_less_traffic_for_the_target_is_never_taken_back(tmp_path: Path):
    account = Account(weights=Weights.of_target(50))
    with pytest.raises(UsageError, match="evidence file"):
        shift(run_on(account, tmp_path / "missing" / "e.jsonl"), steps=(5,), bake_seconds=5)
    assert account.weights == Weights.of_target(5)
