"""Which alarms keep a shift or a move from beginning."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from pm_cutover.aws.alarms import Alarm
from pm_cutover.errors import RefusedError
from pm_cutover.phases.gates import firing_alarms
from pm_cutover.phases.run import Run


@dataclass
class Task:
    arn: str
    running: bool

    def state(self) -> "Task":
        return self


@dataclass
class Deployment:
    """Two tasks, of which ``load`` runs, and alarms that exist."""

    there: list[Alarm]
    load: Task = field(default_factory=lambda: Task("arn:task:LOAD", running=True))
    forward: Task = field(default_factory=lambda: Task("arn:task:FORWARD", running=False))
    reverse: Task = field(default_factory=lambda: Task("arn:task:REVERSE", running=False))

    @property
    def deployment(self) -> "Deployment":
        return self

    def replication(self) -> "Deployment":
        return self

    def cloudwatch(self) -> "Deployment":
        return self

    def alarm_names(self) -> list[str]:
        return ["lag-load", "lag-forward", "unsafe"]

    def alarms(self, names: list[str]) -> list[Alarm]:
        return [alarm for alarm in self.there if alarm.name in names]


def alarms(**states: str) -> Any:
    tasks = {"lag_load": frozenset({"LOAD"}), "lag_forward": frozenset({"FORWARD"})}
    return Deployment(
        [
            Alarm(name=name.replace("_", "-"), state=state, reason="", tasks=tasks.get(name, frozenset()))
            for name, state in states.items()
        ]
    )


def test_an_alarm_of_a_task_that_was_stopped_says_nothing():
    deployment = alarms(lag_load="OK", lag_forward="ALARM", unsafe="OK")
    assert firing_alarms(cast(Run, deployment)) == ()


@pytest.mark.parametrize("name", ["lag_load", "unsafe"])
def test_an_alarm_of_what_runs_counts(name: str):
    states = {"lag_load": "OK", "lag_forward": "OK", "unsafe": "OK"} | {name: "ALARM"}
    assert [alarm.name for alarm in firing_alarms(cast(Run, alarms(**states)))] == [name.replace("_", "-")]


def test_an_alarm_that_does_not_exist_is_no_quiet_one():
    with pytest.raises(RefusedError, match="no alarm unsafe: deploy the observability stacks"):
        firing_alarms(cast(Run, alarms(lag_load="OK", lag_forward="OK")))


def test_a_task_that_was_made_anew_is_not_watched_by_the_former_one_s_alarms():
    deployment = alarms(lag_load="OK", lag_forward="OK", unsafe="OK")
    deployment.load = Task("arn:task:ANEW", running=True)
    with pytest.raises(RefusedError, match="no lag alarm watches the task load"):
        firing_alarms(cast(Run, deployment))
