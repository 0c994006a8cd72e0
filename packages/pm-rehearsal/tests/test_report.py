import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from pm_rehearsal.report import Report, StepTime

GOOD = Report(
    rate=200.0,
    replication_lag_seconds=0.0,
    acknowledged=5123,
    lost=0,
    doubled=0,
    unexplained=0,
    failed=0,
    retried=0,
    ledger_balanced=True,
    databases_equal=True,
    write_gap_ms=(20.0, 40.0, 30.0),
    baseline_gap_ms=11.0,
    engine_pause_ms=(5.0, 6.0, 7.0),
    leftovers=(),
    steps=(StepTime(name="pm cutover", seconds=3.2),),
)


def shown(report: Report) -> str:
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(report.table())
    return console.export_text()


def test_a_good_report_has_no_problem():
    assert GOOD.problems == ()
    assert "30.0 ms" in shown(GOOD)
    assert "NO" not in shown(GOOD)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ({"lost": 1}, "1 payments lost"),
        ({"doubled": 2}, "2 payments doubled"),
        ({"unexplained": 3}, "3 payments unexplained"),
        ({"failed": 3}, "3 requests failed"),
        ({"retried": 4}, "4 requests would have failed on AWS"),
        ({"ledger_balanced": False}, "the ledger is not balanced"),
        ({"databases_equal": False}, "the databases differ"),
        ({"leftovers": ("us-east-1 bucket logs",)}, "1 resources left after destroy"),
    ],
)
def test_each_damage_is_a_problem_and_shows(damage: dict[str, object], problem: str):
    report = replace(GOOD, **damage)
    assert report.problems == (problem,)
    assert "NO" in shown(report)


def test_an_added_lag_lengthens_the_aim_and_nothing_else():
    slow = replace(GOOD, write_gap_ms=(1050.0,))
    assert "NO" in shown(slow)
    assert "NO" not in shown(replace(slow, replication_lag_seconds=1.0))


def test_the_file_holds_the_promised_keys(tmp_path: Path):
    GOOD.write(tmp_path / "report.json")
    document = json.loads((tmp_path / "report.json").read_text())
    promised = {"acknowledged", "lost", "doubled", "failed", "write_gap_ms", "baseline_gap_ms", "leftovers", "steps"}
    assert promised <= set(document)
    assert document["steps"] == [{"name": "pm cutover", "seconds": 3.2}]
    assert document["passed"] is True
