"""The function behind RunningTasks, between a DMS that changes state as DMS does."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from pm_core.custom_resources import Request
from pm_core.tags import PAUSED_TASK
from pm_replication.functions import running_tasks
from pm_replication.functions.running_tasks import (
    MARK,
    LoadingError,
    ReloadError,
    TaskTimeoutError,
    identity,
    pause,
    pause_work,
    refuse_reload,
    resume,
    resume_work,
    stop,
)

LOAD, FORWARD = "replication-task-load-target-t1", "replication-task-forward-target-t1"
MIGRATION_TYPES = {LOAD: "full-load-and-cdc", FORWARD: "cdc"}
PROPERTIES = {
    "Side": "before",
    "Tasks": [LOAD, FORWARD],
    "InstanceArn": "arn:aws:dms:us-east-1:111122223333:rep:ONE",
    "MigrationTypes": MIGRATION_TYPES,
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
    loaded_percent: int = 100
    refused_starts: int = 0
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
        task = {"ReplicationTaskArn": f"arn:{name}", "Status": status, "MigrationType": MIGRATION_TYPES[name]}
        if name == LOAD:
            task["ReplicationTaskStats"] = {"FullLoadProgressPercent": self.loaded_percent}
        return {"ReplicationTasks": [task]}

    def stop_replication_task(self, *, ReplicationTaskArn: str) -> None:  # noqa: N803 - boto3's name
        self.calls.append(f"stop {ReplicationTaskArn}")
        if self.statuses[ReplicationTaskArn.removeprefix("arn:")][0] != "stopping":
            raise InvalidResourceStateFault(ReplicationTaskArn)

    def start_replication_task(self, *, ReplicationTaskArn: str, StartReplicationTaskType: str) -> None:  # noqa: N803 - boto3's names
        self.calls.append(f"{StartReplicationTaskType} {ReplicationTaskArn}")
        if self.refused_starts:
            self.refused_starts -= 1
            raise InvalidResourceStateFault(ReplicationTaskArn)

    def add_tags_to_resource(self, *, ResourceArn: str, Tags: Any) -> None:  # noqa: N803 - boto3's names
        assert [tag["Key"] for tag in Tags] == [MARK]
        self.marked.add(ResourceArn)

    def remove_tags_from_resource(self, *, ResourceArn: str, TagKeys: list[str]) -> None:  # noqa: N803 - boto3's names
        assert TagKeys == [MARK]
        self.marked.remove(ResourceArn)

    def list_tags_for_resource(self, *, ResourceArn: str) -> Any:  # noqa: N803 - boto3's name
        return {"TagList": [{"Key": MARK, "Value": "true"}] if ResourceArn in self.marked else []}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_tasks, "POLL_SECONDS", 0.01)


def client(monkeypatch: pytest.MonkeyPatch, dms: object) -> None:
    monkeypatch.setattr(running_tasks.boto3, "client", lambda service, config: dms if service == "dms" else config)


def test_a_running_task_is_marked_stopped_and_waited_for() -> None:
    dms = Dms({LOAD: ["running", "stopping", "stopping", "stopped"]})
    pause(dms, [LOAD], seconds=5)
    assert dms.calls == [f"stop arn:{LOAD}"]
    assert dms.marked == {f"arn:{LOAD}"}
    assert dms.statuses[LOAD] == ["stopped"]


@pytest.mark.parametrize("status", ["ready", "stopped", "failed", "creating"])
def test_a_task_that_does_not_run_is_left_alone(status: str) -> None:
    dms = Dms({LOAD: [status]})
    pause(dms, [LOAD], seconds=5)
    assert (dms.calls, dms.marked) == ([], set())


def test_a_task_that_is_gone_is_fine() -> None:
    stop(Dms({}), [LOAD, FORWARD], seconds=5)
    assert resume(Dms({}), [LOAD], seconds=5) == []


def test_a_starting_task_is_stopped_once_it_runs() -> None:
    dms = Dms({LOAD: ["starting", "starting", "running", "stopping", "stopped"]})
    stop(dms, [LOAD], seconds=5)
    assert dms.calls == [f"stop arn:{LOAD}"]
    assert dms.marked == set()


def test_a_task_that_ends_by_itself_meanwhile_is_fine() -> None:
    stop(Dms({LOAD: ["running", "failed"]}), [LOAD], seconds=5)


def test_a_task_that_does_not_stop_is_named_at_the_deadline() -> None:
    dms = Dms({LOAD: ["running", "stopping"], FORWARD: ["stopped"]})
    with pytest.raises(TaskTimeoutError, match=f"{LOAD} is stopping"):
        stop(dms, [LOAD, FORWARD], seconds=0.05)


def test_a_marked_task_goes_on_where_it_stopped_and_loses_its_mark() -> None:
    dms = Dms({LOAD: ["stopped", "starting", "running"], FORWARD: ["stopped"]}, marked={f"arn:{LOAD}"})
    assert resume(dms, [LOAD, FORWARD], seconds=5) == [LOAD]
    assert dms.calls == [f"resume-processing arn:{LOAD}"]
    assert dms.marked == set()


def test_a_task_that_loads_is_not_paused_but_stopped_for_good() -> None:
    dms = Dms({LOAD: ["running"]}, loaded_percent=40)
    with pytest.raises(LoadingError, match=f"{LOAD} loads tables"):
        pause(dms, [LOAD, FORWARD], seconds=5)
    assert (dms.calls, dms.marked) == ([], set())
    dms.statuses[LOAD] = ["running", "stopping", "stopped"]
    stop(dms, [LOAD], seconds=5)
    assert dms.calls == [f"stop arn:{LOAD}"]


def test_a_start_that_comes_too_late_is_fine() -> None:
    """DMS still said stopped when it was starting already."""
    dms = Dms({LOAD: ["stopped", "starting", "running"]}, marked={f"arn:{LOAD}"}, refused_starts=1)
    assert resume(dms, [LOAD], seconds=5) == [LOAD]
    assert dms.marked == set()


def test_a_task_that_does_not_run_again_keeps_its_mark() -> None:
    dms = Dms({LOAD: ["stopped", "failed"]}, marked={f"arn:{LOAD}"})
    with pytest.raises(TaskTimeoutError, match="is failed, not running"):
        resume(dms, [LOAD], seconds=0.05)
    assert dms.marked == {f"arn:{LOAD}"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("InstanceArn", "arn:aws:dms:us-east-1:111122223333:rep:TWO"), ("MigrationTypes", {LOAD: "cdc"})],
)
def test_an_update_that_would_load_everything_anew_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ReloadError, match=f"{name} changes from .* destroy the replication stack"):
        refuse_reload(PROPERTIES, PROPERTIES | {name: value})
    refuse_reload(PROPERTIES, PROPERTIES | {"Definition": "two"})


def test_the_mark_is_the_tag_that_the_engine_takes_off() -> None:
    assert MARK == PAUSED_TASK


CHANGED = PROPERTIES | {"Definition": "two"}


def asked(kind: str, new: Any, old: Any = None, *, physical_id: str = "", seconds: float = 5) -> Request:
    return Request(
        kind=kind, properties=new, old_properties=old or {}, physical_id=physical_id, stack_id="stack", seconds=seconds
    )


def pause_update(new: Any, old: Any, *, physical_id: str | None = None, seconds: float = 5) -> str:
    """The physical id after an update from ``old`` to ``new``."""
    return pause_work(asked("Update", new, old, physical_id=physical_id or identity(old), seconds=seconds)).physical_id


def test_an_unchanged_definition_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    dms = Dms({LOAD: ["running"], FORWARD: ["running"]})
    client(monkeypatch, dms)
    created = pause_work(asked("Create", PROPERTIES)).physical_id
    assert pause_update(PROPERTIES | {"ServiceToken": "another"}, PROPERTIES) == created == identity(PROPERTIES)
    assert pause_work(asked("Delete", PROPERTIES, physical_id=created)).physical_id == created
    assert dms.calls == []


def test_a_changed_definition_pauses_and_resumes_what_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    dms = Dms({LOAD: ["running", "stopped"], FORWARD: ["ready"]})
    client(monkeypatch, dms)
    pause_update(CHANGED, PROPERTIES)
    assert dms.calls == [f"stop arn:{LOAD}"]
    dms.statuses[LOAD] = ["stopped", "running"]
    resume_work(asked("Update", {"Tasks": [LOAD, FORWARD]}))
    assert dms.calls == [f"stop arn:{LOAD}", f"resume-processing arn:{LOAD}"]


def test_an_update_that_fails_after_the_pause_ends_with_what_ran_running(monkeypatch: pytest.MonkeyPatch) -> None:
    dms = Dms({LOAD: ["running", "stopped"], FORWARD: ["ready"]})
    client(monkeypatch, dms)
    paused = pause_update(CHANGED, PROPERTIES)
    # CloudFormation sends the properties back, and deletes in the end what the update had made.
    assert pause_update(PROPERTIES, CHANGED, physical_id=paused) == identity(PROPERTIES)
    assert dms.calls == [f"stop arn:{LOAD}"]
    dms.statuses[LOAD] = ["stopped", "running"]
    assert pause_work(asked("Delete", CHANGED, physical_id=paused)).physical_id == paused
    assert dms.calls == [f"stop arn:{LOAD}", f"resume-processing arn:{LOAD}"]
    assert dms.marked == set()


def test_the_rollback_of_a_pause_that_failed_resumes_what_had_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    dms = Dms({LOAD: ["running", "stopping"], FORWARD: ["running", "stopping", "stopped"]})
    client(monkeypatch, dms)
    with pytest.raises(TaskTimeoutError, match=f"{LOAD} is stopping"):
        pause_update(CHANGED, PROPERTIES, seconds=0.05)
    assert dms.marked == {f"arn:{LOAD}", f"arn:{FORWARD}"}
    dms.statuses = {LOAD: ["stopping", "stopped", "running"], FORWARD: ["stopped", "running"]}
    assert pause_update(PROPERTIES, CHANGED, physical_id=identity(PROPERTIES)) == identity(PROPERTIES)
    assert dms.calls[-2:] == [f"resume-processing arn:{LOAD}", f"resume-processing arn:{FORWARD}"]
    assert dms.marked == set()


def test_the_rollback_of_a_refused_reload_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    dms = Dms({LOAD: ["running"], FORWARD: ["running"]})
    client(monkeypatch, dms)
    other = PROPERTIES | {"MigrationTypes": {LOAD: "cdc"}, "Definition": "two"}
    with pytest.raises(ReloadError):
        pause_update(other, PROPERTIES)
    assert pause_update(PROPERTIES, other, physical_id=identity(PROPERTIES)) == identity(PROPERTIES)
    assert dms.calls == []


def test_deleting_the_stack_stops_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    dms = Dms({LOAD: ["running", "stopped"], FORWARD: ["stopped"]})
    client(monkeypatch, dms)
    resume_work(asked("Delete", {"Tasks": [LOAD, FORWARD]}))
    assert dms.calls == [f"stop arn:{LOAD}"]
