"""What `pm status` shows of a status, side by side."""

from typing import Any

from rich.console import Console

from pm_cutover.status_view import status_view

FENCE = {"installed": True, "word": 10, "epoch": 1, "state": "open", "lease_remaining_seconds": 0.0}
HEALTH = {"running": 2, "desired": 2, "healthy": 2, "unhealthy": 0, "good": True}
STATUS: dict[str, Any] = {
    "suffix": "blue",
    "region": "us-east-1",
    "time": "2026-11-28T12:00:00+00:00",
    "writer": {"open": "source", "finished": False, "source": FENCE, "target": {"error": "no answer"}},
    "weights": {"route53": {"source": 100, "target": 0}, "parameters": {"source": 100, "target": 0}},
    "services": {"source": HEALTH, "target": {"error": "no such service"}},
    "tasks": [],
    "slots": {
        "source": [
            {"name": "pm_forward", "active": True, "behind_bytes": 1234},
            {"name": "made_just_now", "active": False, "behind_bytes": None},
        ],
        "target": {"error": "cannot connect to target"},
    },
    "tables": {"error": "DMS says no"},
    "alarms": [],
    "stacks": [],
}


def test_what_cannot_be_read_spoils_nothing_beside_it() -> None:
    console = Console(width=200)
    with console.capture() as shown:
        console.print(status_view(STATUS))
    lines = [line.rstrip() for line in shown.get().splitlines()]
    assert lines == [
        "blue in us-east-1 at 2026-11-28T12:00:00+00:00",
        "writer   source; source: open at epoch 1; target: no answer",
        "weights  100/0 (source/target)",
        "service  source: 2 of 2 tasks run, 2 targets healthy, 0 not",
        "service  target: no such service",
        "no tasks",
        "slots    source: pm_forward is read, 1,234 bytes behind; made_just_now waits, position unknown",
        "slots    target: cannot connect to target",
        "DMS says no",
        "no alarms",
        "no stacks",
    ]
