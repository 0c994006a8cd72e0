"""The function behind RunningTasks, between a DMS that changes state as DMS does."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from pm_replication.functions import running_tasks
from pm_replication.functions.running_tasks import (
    MARK,
    ReloadError,
    TaskTimeoutError,
    pause,
    pause_work,
    refuse_reload,
    resume,
    resume_work,
    stop,
)

LOAD, FORWARD = "replication-task-load-target-t1", "replication-task-forward-target-t1"
PROPERTIES = {
    "Side": "before",
    "Tasks": [LOAD, FORWARD],
    "InstanceArn": "arn:aws:dms:us-east-1:111122223333:rep:ONE",
    "MigrationTypes": {LOAD: "full-load-and-cdc", FORWARD: "cdc"},
    "MayReload": "false",
    "Definition": "one",
}


class ResourceNotFoundFault(Exception):  # noqa: N818 - boto3's name
    pass


class InvalidResourceStateFault(Exception):  # noqa: N818 - boto3's name
    pass


@dataclass
class Dms:
    """Tasks by identifier with the statuses that they go through, one per look; the last one stays."""

    statuses: dict[str, list[str]]
    marked: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)

    class exceptions:  # noqa: N801 - boto3's name
        ResourceNotFoundFault = ResourceNotFoundFault
        InvalidResourceStateFault = InvalidResourceStateFault

    def describe_replication_tasks(self, *, Filters: Any, **_: Any) -> Any:  # noqa: N803 - boto3's name
        (name,) = Filters[0]["Values"]
        if name not in self.statuses:
            raise ResourceNotFoundFault(name)
        statuses = self.statuses[name]
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        return {"ReplicationTasks": [{"ReplicationTaskArn": f"arn:{name}", "Status": status}]}

    def stop_replication_task(self, *, ReplicationTaskArn: str) -> None:  # noqa: N803 - boto3's name
        self.calls.append(f"stop {ReplicationTaskArn}")
        if self.statuses[ReplicationTaskArn.removeprefix("arn:")][0] != "stopping":
            raise InvalidResourceStateFault(ReplicationTaskArn)

    def start_replication_task(self, *, ReplicationTaskArn: str, StartReplicationTaskType: str) -> None:  # noqa: N803 - boto3's names
        self.calls.append(f"{StartReplicationTaskType} {ReplicationTaskArn}")

    def add_tags_to_resource(self, *, ResourceArn: str, Tags: Any) -> None:  # noqa: N803 - boto3's names
        assert [tag["Key"] for tag in Tags] == [MARK]
        self.marked.add(ResourceArn)

    def remove_tags_from_resource(self, *, ResourceArn: str, TagKeys: list[str]) -> None:  # noqa: N803 - boto3's names
        assert TagKeys == [MARK]
        self.marked.remove(ResourceArn)

    def list_tags_for_resource(self, *, ResourceArn: str) -> Any:  # noqa: N803 - boto3's name
        return {"TagList": [{"Key": MARK, "Value": "true"}] if ResourceArn in self.marked else []}


def client(monkeypatch: pytest.MonkeyPatch, dms: object) -> None:
    monkeypatch.setattr(running_tasks.boto3, "client", lambda service, config: dms if service == "dms" else config)
    monkeypatch.setattr(running_tasks, "POLL_SECONDS", 0)


def test_a_running_task_is_marked_stopped_and_waited_for() -> None:
    dms = Dms({LOAD: ["running", "stopping", "stopping", "stopped"]})
    pause(dms, [LOAD], seconds=5, poll_seconds=0)
    assert dms.calls == [f"stop arn:{LOAD}"]
    assert dms.marked == {f"arn:{LOAD}"}
    assert dms.statuses[LOAD] == ["stopped"]


@pytest.mark.parametrize("status", ["ready", "stopped", "failed", "creating"])
def test_a_task_that_does_not_run_is_left_alone(status: str) -> None:
    dms = Dms({LOAD: [status]})
    pause(dms, [LOAD], seconds=5, poll_seconds=0)
    assert (dms.calls, dms.marked) == ([], set())


def test_a_task_that_is_gone_is_fine() -> None:
    stop(Dms({}), [LOAD, FORWARD], seconds=5, poll_seconds=0)
    assert resume(Dms({}), [LOAD], seconds=5, poll_seconds=0) == []


def test_a_starting_task_is_stopped_once_it_runs() -> None:
    dms = Dms({LOAD: ["starting", "starting", "running", "stopping", "stopped"]})
    stop(dms, [LOAD], seconds=5, poll_seconds=0)
    assert dms.calls == [f"stop arn:{LOAD}"]
    assert dms.marked == set()


def test_a_task_that_ends_by_itself_meanwhile_is_fine() -> None:
    stop(Dms({LOAD: ["running", "failed"]}), [LOAD], seconds=5, poll_seconds=0)


def test_a_task_that_does_not_stop_is_named_at_the_deadline() -> None:
    dms = Dms({LOAD: ["running", "stopping"], FORWARD: ["stopped"]})
    with pytest.raises(TaskTimeoutError, match=f"{LOAD} is stopping"):
        stop(dms, [LOAD, FORWARD], seconds=0.05, poll_seconds=0.01)


def test_a_marked_task_goes_on_where_it_stopped_and_loses_its_mark() -> None:
    dms = Dms({LOAD: ["stopped", "starting", "running"], FORWARD: ["stopped"]}, marked={f"arn:{LOAD}"})
    assert resume(dms, [LOAD, FORWARD], seconds=5, poll_seconds=0) == [LOAD]
    assert dms.calls == [f"resume-processing arn:{LOAD}"]
    assert dms.marked == set()


def test_a_task_that_does_not_run_again_keeps_its_mark() -> None:
    dms = Dms({LOAD: ["stopped", "failed"]}, marked={f"arn:{LOAD}"})
    with pytest.raises(TaskTimeoutError, match="is failed, not running"):
        resume(dms, [LOAD], seconds=0.05, poll_seconds=0.01)
    assert dms.marked == {f"arn:{LOAD}"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("InstanceArn", "arn:aws:dms:us-east-1:111122223333:rep:TWO"), ("MigrationTypes", {LOAD: "cdc"})],
)
def test_an_update_that_would_load_everything_anew_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ReloadError, match=f"{name} changes from .* replicationReload"):
        refuse_reload(PROPERTIES, PROPERTIES | {name: value})
    refuse_reload(PROPERTIES, PROPERTIES | {name: value, "MayReload": "true"})


def test_an_unchanged_definition_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    dms = Dms({LOAD: ["running"], FORWARD: ["running"]})
    client(monkeypatch, dms)
    pause_work("Create", PROPERTIES, {}, 5)
    pause_work("Update", PROPERTIES | {"MayReload": "true"}, PROPERTIES, 5)
    pause_work("Delete", PROPERTIES, {}, 5)
    assert dms.calls == []


def test_a_changed_definition_pauses_and_resumes_what_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    dms = Dms({LOAD: ["running", "stopped"], FORWARD: ["ready"]})
    client(monkeypatch, dms)
    pause_work("Update", PROPERTIES | {"Definition": "two"}, PROPERTIES, 30)
    assert dms.calls == [f"stop arn:{LOAD}"]
    dms.statuses[LOAD] = ["stopped", "running"]
    resume_work("Update", {"Tasks": [LOAD, FORWARD]}, {}, 30)
    assert dms.calls == [f"stop arn:{LOAD}", f"resume-processing arn:{LOAD}"]


def test_deleting_the_stack_stops_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    dms = Dms({LOAD: ["running", "stopped"], FORWARD: ["stopped"]})
    client(monkeypatch, dms)
    resume_work("Delete", {"Tasks": [LOAD, FORWARD]}, {}, 30)
    assert dms.calls == [f"stop arn:{LOAD}"]
