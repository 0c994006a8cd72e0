"""The status as a text, for the dashboard that asks the same function."""

from collections.abc import Mapping
from typing import Any


def markdown(status: Mapping[str, Any]) -> str:
    """Writer, weights, and one line per task and table that moves or has moved."""
    lines = [f"**Writer** {_writer(status['writer'])} - **weights** {_weights(status['weights'])}", ""]
    lines += ["| task | status | loaded | lag, source | lag, target | validation |", "|---|---|---|---|---|---|"]
    lines += [f"| {name} | {_task(task)} |" for name, task in status["tasks"].items()]
    tables = [
        f"| {name} | {_table(table)} |"
        for name, task in status["tasks"].items()
        if task.get("status") == "running"
        for table in task["tables"]
    ]
    if tables:
        lines += ["", "| task | table | state | rows loaded | validation | failed |", "|---|---|---|---|---|---|"]
        lines += tables
    return "\n".join(lines)


def _writer(writer: Mapping[str, Any]) -> str:
    sides = ", ".join(f"{name} {_fence(writer[name])}" for name in ("source", "target"))
    return f"{writer['open'] or 'unknown'} ({sides})"


def _fence(fence: Mapping[str, Any]) -> str:
    if "error" in fence:
        return f"does not answer: {fence['error']}"
    return f"{fence['state']} at epoch {fence['epoch']}" if fence["installed"] else "without a fence"


def _weights(weights: Mapping[str, Any]) -> str:
    if "error" in weights:
        return str(weights["error"])
    return ", ".join(f"{name} {weight}" for name, weight in weights.items())


def _task(task: Mapping[str, Any]) -> str:
    if "error" in task:
        return f"{task['error']} | | | |"
    lags = (task["source_lag_seconds"], task["target_lag_seconds"])
    validation = task["validation"]
    found = ", ".join(f"{validation[name]} {name}" for name in ("failed", "pending", "suspended"))
    shown = " | ".join("-" if lag is None else f"{lag:.0f} s" for lag in lags)
    return f"{task['status']} | {task['full_load_percent']} % | {shown} | {found}"


def _table(table: Mapping[str, Any]) -> str:
    names = ("table", "state", "loaded_rows", "validation", "validation_failures")
    return " | ".join(str(table[name]) for name in names)
