"""The end: nothing is given up before everything can be."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from cutover_rig import NativeReplication, Rig, wait_until

from pm_cutover.aws.traffic import Weights
from pm_cutover.control import ControlError, remove
from pm_cutover.database import Database, Environment
from pm_cutover.evidence import EvidenceLog
from pm_cutover.phases.finish import finish
from pm_cutover.phases.run import Run
from pm_cutover.progress import ConsoleProgress
from pm_cutover.protocol import EngineBusyError, Limits, engine_lock, move_writer


@dataclass
class Account:
    """What `pm finish` asks of a deployment."""

    rig: Rig
    native: NativeReplication

    def database(self, name: Environment) -> Database:
        return self.rig.database(name)

    def replication(self) -> NativeReplication:
        return self.native

    def traffic(self) -> "Account":
        return self

    def recorded(self) -> Weights:
        return Weights.of_target(100)


@pytest.fixture
def run(rig: Rig, replication: NativeReplication, tmp_path: Path) -> Run:
    return Run(
        deployment=cast(Any, Account(rig, replication)),
        progress=ConsoleProgress(),
        evidence=EvidenceLog(path=tmp_path / "e.jsonl", verb="finish", suffix="t"),
    )


def test_the_way_back_ends_only_when_nobody_bars_the_end(
    run: Run, rig: Rig, replication: NativeReplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pm_cutover.phases.finish.remove", partial(remove, timeout_seconds=0.5))
    assert move_writer(rig.source, rig.target, replication=replication, limits=Limits()).result == "moved"
    back = "select count(*) from pg_replication_slots where active"
    wait_until(lambda: rig.value("target", back) == 1, "replication back")

    with engine_lock(rig.source, rig.target, shared=True), pytest.raises(EngineBusyError, match="another pm works"):
        finish(run, idle_window_seconds=0, metric_delay_seconds=0)
    assert rig.value("target", back) == 1

    with psycopg.connect(**replace(rig.target, user="pm_app").parameters()) as batch:
        batch.execute("update accounts set name = name where id = 1")
        with pytest.raises(ControlError, match="holds a lock") as caught:
            finish(run, idle_window_seconds=0, metric_delay_seconds=0)
        batch.rollback()
    (note,) = caught.value.__notes__
    assert "there is no way back any more" in note
    assert rig.value("target", back) == 0

    assert not finish(run, idle_window_seconds=0, metric_delay_seconds=0).already
    assert finish(run, idle_window_seconds=0, metric_delay_seconds=0).already
