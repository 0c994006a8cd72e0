"""`pm cutover` and `pm rollback` on real databases, when something fails after the writer has moved."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cutover_rig import PASSWORD, NativeReplication, Rig

from pm_cutover.answers import answer
from pm_cutover.aws.traffic import Weights
from pm_cutover.database import Database, Environment
from pm_cutover.errors import RefusedError
from pm_cutover.options import Options
from pm_cutover.phases.move import cutover, rollback
from pm_cutover.phases.shift import shift
from pm_cutover.protocol import Limits, Outcome
from pm_cutover.replication import ReplicationError
from pm_cutover.replies import move_reply, rollback_reply, shift_reply

ALL_ON_TARGET, ALL_ON_SOURCE = {"source": 0, "target": 100}, {"source": 100, "target": 0}


class ReadSlot(NativeReplication):
    """Somebody reads the slot on the target."""

    def discard_slot(self, b: Database) -> None:
        if b.name == "target":
            raise ReplicationError("somebody reads slot pm_reverse")
        NativeReplication.discard_slot(self, b)


@dataclass
class Account:
    """What a move asks of a deployment; ``failing`` is what fails once the writer has moved."""

    rig: Rig
    evidence: Path
    failing: str = ""
    weights: Weights = field(default_factory=lambda: Weights.of_target(100))

    def database(self, name: Environment) -> Database:
        database = self.rig.database(name)
        return replace(database, port=1) if self.failing == name else database

    def replication(self) -> NativeReplication:
        if self.failing == "evidence":
            self.evidence.unlink(missing_ok=True)
            self.evidence.mkdir(exist_ok=True)
        return ReadSlot(self.rig) if self.failing == "slot" else NativeReplication(self.rig)

    def traffic(self) -> "Account":
        return self

    def check_source(self) -> None:
        pass

    def recorded(self) -> Weights:
        self._throttle("unreadable")
        return self.weights

    def set(self, weights: Weights) -> bool:
        self._throttle("weights", "unreadable")
        changed, self.weights = weights != self.weights, weights
        return changed

    def service(self, _environment: Environment) -> "Account":
        return self

    def requests(self, **_: object) -> float:
        return 0.0

    server_errors = requests

    def _throttle(self, *when: str) -> None:
        if self.failing in when:
            raise ClientError({"Error": {"Code": "Throttling", "Message": "Rate exceeded"}}, "Route53")

    def contract(self, *_: object) -> Any:
        raise RefusedError("no bucket")


class Pm:
    """Runs a verb as `pm` does; what it wrote is in ``out``."""

    def __init__(self, account: Account, capsys: pytest.CaptureFixture[str]) -> None:
        self.account, self.capsys, self.out = account, capsys, ""

    def run(self, verb: str, *, as_json: bool = True, dry_run: bool = False) -> int:
        options = Options(suffix="t", json=as_json, evidence=self.account.evidence)
        self.capsys.readouterr()
        if verb == "cutover":
            code = answer(verb, options, lambda run: move_reply(cutover(run, limits=Limits(), dry_run=dry_run)))
        elif verb == "shift 0":
            code = answer(verb, options, lambda run: shift_reply(shift(run, steps=(0,), bake_seconds=60)))
        else:
            code = answer(verb, options, lambda run: rollback_reply(rollback(run, limits=Limits())))
        self.out, err = self.capsys.readouterr()
        assert PASSWORD not in self.out + err
        return code

    def mend(self) -> None:
        if self.account.failing == "evidence":
            self.account.evidence.rmdir()
        self.account.failing = ""


@pytest.fixture
def pm(rig: Rig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Pm:
    account = Account(rig, tmp_path / "e.jsonl")
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setattr("pm_cutover.answers._deployment", lambda _options: account)
    monkeypatch.setattr("pm_cutover.phases.move.firing_alarms", lambda _run: ())
    return Pm(account, capsys)


@pytest.mark.parametrize(
    ("failing", "weights", "cause", "left"),
    [
        (
            "weights",
            ALL_ON_TARGET,
            "Rate exceeded",
            "the weights are 0/100 (source/target): run `pm rollback` again, or",
        ),
        ("unreadable", None, "Rate exceeded", "the weights are not known (source/target): run `pm rollback` again, or"),
        ("slot", ALL_ON_SOURCE, "reads slot", "the weights are 100/0 (source/target): run `pm rollback` again"),
        (
            "evidence",
            ALL_ON_TARGET,
            "--evidence FILE",
            "the weights are 0/100 (source/target): run `pm rollback` again",
        ),
    ],
)
def test_a_rollback_that_fails_once_the_writer_is_back_tells_what_is_left_and_is_run_again(
    pm: Pm, rig: Rig, failing: str, weights: dict[str, int] | None, cause: str, left: str
) -> None:
    if rig.writer() == "source":
        assert pm.run("cutover") == 0
    pm.account.failing = failing
    assert pm.run("rollback") == 3
    facts = json.loads(pm.out)
    epoch = rig.value("source", "select pm_control.word() / 10")
    assert (facts["result"], facts["destination"], facts["epoch"]) == ("unfinished", "source", epoch)
    assert facts["pause_ms"] > 0
    assert facts["weights"] == weights
    assert f"the source is the writer (epoch {epoch}), but: " in facts["reason"]
    assert cause in facts["reason"]
    assert left in facts["reason"]
    assert ("pm shift 0" in facts["reason"]) == (weights != ALL_ON_SOURCE)
    assert rig.writer() == "source"

    if failing != "evidence":  # without it, nothing is begun
        assert pm.run("rollback", as_json=False) == 3
        assert f"a person is needed: the source is the writer (epoch {epoch}), but: " in pm.out
    rig.query("target", "select pg_create_logical_replication_slot('pm_reverse', 'pgoutput')")
    pm.mend()
    assert pm.run("rollback") == 0
    assert json.loads(pm.out)["weights"] == ALL_ON_SOURCE
    assert pm.account.weights == Weights.of_target(0)
    assert rig.query("target", "select slot_name from pg_replication_slots") == []


def test_a_cutover_that_cannot_be_recorded_tells_that_the_writer_has_moved(pm: Pm, rig: Rig) -> None:
    if rig.writer() == "target":
        assert pm.run("rollback") == 0
    pm.account.failing = "evidence"
    assert pm.run("cutover") == 3
    facts = json.loads(pm.out)
    assert (facts["result"], rig.writer()) == ("unfinished", "target")
    assert facts["reason"].startswith(f"the target is the writer (epoch {facts['epoch']}), but: evidence file ")
    assert facts["reason"].endswith("run `pm cutover` again")
    pm.mend()
    assert pm.run("cutover") == 0
    assert json.loads(pm.out)["result"] == "already"


def test_a_dry_run_that_cannot_be_recorded_is_an_error(pm: Pm, rig: Rig) -> None:
    if rig.writer() == "target":
        assert pm.run("rollback") == 0
    pm.account.failing = "evidence"
    assert pm.run("cutover", dry_run=True) == 2
    assert "evidence file" in json.loads(pm.out)["error"]


@pytest.mark.parametrize("verb", ["cutover", "rollback"])
@pytest.mark.parametrize(("result", "code"), [("aborted", 1), ("unfinished", 3)])
def test_a_failed_move_that_cannot_be_recorded_still_tells_why_it_failed(
    pm: Pm, monkeypatch: pytest.MonkeyPatch, verb: str, result: Any, code: int
) -> None:
    outcome = Outcome(result=result, origin="source", destination="target", epoch=1, reason="the drain was late")
    monkeypatch.setattr("pm_cutover.phases.move.move_writer", lambda *_, **__: outcome)
    pm.account.failing = "evidence"
    assert pm.run(verb) == code
    facts = json.loads(pm.out)
    assert facts["result"] == result
    assert facts["reason"].startswith("the drain was late; evidence file ")


def test_without_the_targets_database_a_rollback_names_the_command_that_needs_it_not(pm: Pm, rig: Rig) -> None:
    if rig.writer() == "target":
        assert pm.run("rollback") == 0
    pm.account.weights = Weights.of_target(50)
    pm.account.failing = "target"
    assert pm.run("rollback") == 1
    error = json.loads(pm.out)["error"]
    assert "cannot connect to target" in error
    assert error.endswith(
        "`pm shift 0` needs one database only: while the source is the writer, it sends all traffic back"
    )
    assert pm.run("shift 0") == 0
    assert json.loads(pm.out)["after"] == ALL_ON_SOURCE
