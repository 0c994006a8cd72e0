"""What is said when replication back stands still: real databases, and tasks as DMS would describe them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
from cutover_rig import NativeReplication, Rig

from pm_core.contracts import ReplicationContract
from pm_cutover.aws.replication import DmsReplication
from pm_cutover.aws.session import AwsSession
from pm_cutover.aws.tasks import ReplicationTask, TaskState
from pm_cutover.aws.traffic import Weights
from pm_cutover.database import Database, Environment
from pm_cutover.errors import RefusedError
from pm_cutover.evidence import EvidenceLog
from pm_cutover.phases.plan import plan
from pm_cutover.phases.run import Run
from pm_cutover.progress import ConsoleProgress
from pm_cutover.protocol import Limits, move_writer
from pm_cutover.replication import ReplicationError

CONTRACT = ReplicationContract(
    instance_arn="instance",
    source_loader_endpoint_arn="source-loader",
    source_reader_endpoint_arn="source-reader",
    source_writer_endpoint_arn="source-writer",
    target_reader_endpoint_arn="target-reader",
    target_writer_endpoint_arn="target-writer",
    load_task_arn="load",
    forward_task_arn="forward",
    reverse_task_arn="reverse",
    slot_plugin="pgoutput",
    peering_connection_id="pcx",
)
STATE = TaskState(
    identifier="",
    status="ready",
    migration_type="cdc",
    start_position="",
    full_load_done=True,
    tables_errored=0,
    message="",
    source_endpoint_arn="a",
    target_endpoint_arn="b",
    instance_arn="instance",
)


class Tasks:
    """The three tasks, whose states are given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
        self.replication = DmsReplication(aws=AwsSession(session=session), contract=CONTRACT)
        self._states: dict[str, TaskState] = {}
        monkeypatch.setattr(ReplicationTask, "state", lambda task: self._state(task.arn))
        self.are(load="stopped", forward="ready", reverse="running")

    def _state(self, arn: str) -> TaskState:
        state = self._states[arn]
        if state.status == "deleted":
            raise RefusedError(f"replication task {arn} does not exist")
        return state

    def are(self, **states: str) -> None:
        for name, status in states.items():
            message = "disk full" if status == "failed" else ""
            self._states[name] = replace(STATE, identifier=name, status=status, message=message)


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> Tasks:
    return Tasks(monkeypatch)


@pytest.fixture(scope="module")
def moved(rig: Rig, replication: NativeReplication) -> Rig:
    """The target is the writer, rows flow back."""
    assert move_writer(rig.source, rig.target, replication=replication, limits=Limits()).result == "moved"
    return rig


@pytest.fixture
def slot_gone(moved: Rig) -> Iterator[None]:
    """Nobody reads the slot back any more, and it has been dropped."""
    moved.query("source", "alter subscription pm_reverse disable")
    replication = NativeReplication(moved)
    replication._wait(lambda: replication._slot(moved.target) == "idle", "the slot to be left")
    replication.discard_slot(moved.target)
    yield
    replication.prepare_slot(moved.target)
    moved.query("source", "alter subscription pm_reverse enable")


@dataclass
class Deployment:
    """What `pm plan` asks of a deployment."""

    rig: Rig
    tasks: Tasks

    def database(self, name: Environment) -> Database:
        return self.rig.database(name)

    def replication(self) -> DmsReplication:
        return self.tasks.replication

    def traffic(self) -> "Deployment":
        return self

    def recorded(self) -> Weights:
        return Weights.of_target(100)


@pytest.fixture
def run(moved: Rig, tasks: Tasks, tmp_path: Path) -> Run:
    return Run(
        deployment=cast(Any, Deployment(moved, tasks)),
        progress=ConsoleProgress(),
        evidence=EvidenceLog(path=tmp_path / "e.jsonl", verb="plan", suffix="t"),
    )


def facts_of(run: Run) -> dict[str, tuple[str, str]]:
    return {phase.phase: (phase.state, phase.fact) for phase in plan(run)}


def test_plan_says_that_the_way_back_is_open_while_rows_flow_back(run: Run) -> None:
    found = facts_of(run)
    assert found["cutover"] == ("done", "the target is the writer")
    assert found["finish"] == ("next", "the way back is open (pm rollback)")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("stopped", "reverse is stopped"),
        ("failed", "reverse is failed (disk full)"),
        ("deleted", "replication task reverse does not exist"),
    ],
)
def test_plan_says_that_replication_back_does_not_run(run: Run, tasks: Tasks, status: str, said: str) -> None:
    tasks.are(reverse=status)
    found = facts_of(run)
    assert found["replicate"][0] == "done"
    assert found["cutover"] == ("next", f"the target is the writer, but replication back does not run: {said}")
    assert found["finish"] == ("later", "the way back waits for replication back, which does not run")


@pytest.mark.usefixtures("slot_gone")
@pytest.mark.parametrize("status", ["running", "failed"])
def test_plan_says_that_there_is_no_way_back_without_the_slot(run: Run, tasks: Tasks, status: str) -> None:
    tasks.are(reverse=status)
    found = facts_of(run)
    assert found["cutover"] == ("done", "the target is the writer")
    assert found["finish"][0] == "next"
    assert "slot pm_reverse on the target is gone" in found["finish"][1]
    assert "there is no way back, only `pm finish` leads on" in found["finish"][1]


def refusal(tasks: Tasks, a: Any, b: Any) -> str:
    with pytest.raises(ReplicationError) as caught:
        tasks.replication.check_running(a, b)
    return str(caught.value)


def test_what_starts_replication_again_depends_on_its_direction(tasks: Tasks, moved: Rig, replication: Any) -> None:
    source, target = moved.source, moved.target
    tasks.are(reverse="failed")
    assert refusal(tasks, target, source) == (
        "no replication target -> source: reverse is failed (disk full); run `pm cutover` again, which starts it"
    )
    assert refusal(tasks, source, target).endswith("load is stopped, forward is ready; run `pm replicate`")
    tasks.are(forward="stopped")
    assert refusal(tasks, source, target).endswith("slot pm_forward on the source is gone: the target needs a new load")
    replication.prepare_slot(source)
    try:
        assert refusal(tasks, source, target).endswith("run `pm rollback` again, which starts it")
    finally:
        replication.discard_slot(source)


def test_a_change_that_dms_could_not_apply_is_refused(
    tasks: Tasks, moved: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReplicationTask, "loads", lambda _task: ())
    columns = '"TASK_NAME" text, "TABLE_OWNER" text, "TABLE_NAME" text'
    moved.query("source", f"create table pm_control.awsdms_apply_exceptions ({columns})")
    tasks.replication.check_running(moved.target, moved.source)
    moved.query("source", "insert into pm_control.awsdms_apply_exceptions values ('reverse', 'public', 'payments')")
    said = refusal(tasks, moved.target, moved.source)
    moved.query("source", "drop table pm_control.awsdms_apply_exceptions")
    assert said.startswith("DMS could not apply changes on source, 1 of public.payments")
    assert "run pm verify" in said


def test_a_task_that_is_stopping_is_waited_for(tasks: Tasks, moved: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[str] = []
    monkeypatch.setattr(ReplicationTask, "stop", lambda task: stopped.append(task.arn))
    tasks.are(load="stopped", forward="stopping")
    assert tasks.replication.stop(moved.source, moved.target)
    assert stopped == ["forward"]


@pytest.mark.usefixtures("slot_gone")
def test_without_the_slot_there_is_no_way_back(tasks: Tasks, moved: Rig) -> None:
    tasks.are(reverse="failed")
    dead_end = (
        "slot pm_reverse on the target is gone: the source lacks what was written since, there is no way back, only "
        "`pm finish` leads on"
    )
    assert refusal(tasks, moved.target, moved.source).endswith(dead_end)
    with pytest.raises(ReplicationError, match=dead_end):  # DMS would take minutes, and name its own reason
        tasks.replication.start_from(moved.target, moved.source, "0/1")


@pytest.mark.usefixtures("slot_gone")
def test_a_cutover_that_is_run_again_without_the_slot_promises_nothing(moved: Rig, replication: Any) -> None:
    outcome = move_writer(moved.source, moved.target, replication=replication, limits=Limits())
    assert outcome.result == "unfinished"
    assert outcome.reason.endswith("slot pm_reverse is gone; target is the writer")


@pytest.mark.usefixtures("slot_gone")
def test_a_slot_that_has_lost_its_log_is_no_way_back_either(tasks: Tasks, moved: Rig, replication: Any) -> None:
    replication.prepare_slot(moved.target)
    assert tasks.replication.dead_end(moved.target) == ""
    moved.query("target", "alter system set max_slot_wal_keep_size = '1MB'")
    moved.query("target", "select pg_reload_conf()")
    try:
        for _ in range(3):
            moved.query("target", "create table t (); drop table t; select pg_switch_wal()")
        moved.query("target", "checkpoint")
        assert "slot pm_reverse on the target has lost what it had to keep" in tasks.replication.dead_end(moved.target)
    finally:
        moved.query("target", "alter system reset max_slot_wal_keep_size")
        moved.query("target", "select pg_reload_conf()")
