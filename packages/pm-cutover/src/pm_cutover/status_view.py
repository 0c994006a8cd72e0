"""The status for a terminal."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pm_cutover.phases.status import Status


def status_view(status: Status) -> RenderableType:
    """A few short tables; a part that could not be read is one line."""
    facts: dict[str, Any] = status
    return Group(
        Text(f"{facts['suffix']} in {facts['region']} at {facts['time']}", style="bold"),
        *_or_error(facts["writer"], _writer),
        *_or_error(facts["weights"], _weights),
        *_sides(facts["services"], "service", _service),
        *_or_error(facts["tasks"], lambda tasks: [_rows(tasks, "task")]),
        *_sides(facts["slots"], "slots", _slots),
        *_or_error(facts["tables"], lambda tables: [_rows(tables, "table")]),
        *_or_error(facts["alarms"], lambda alarms: [_rows(alarms, "alarm")]),
        *_or_error(facts["stacks"], lambda stacks: [_rows(stacks, "stack")]),
    )


def _or_error(part: Any, view: Any) -> list[RenderableType]:
    if failure := _failure(part):
        return [Text(failure, style="red")]
    shown: list[RenderableType] = view(part)
    return shown


def _failure(part: Any) -> str:
    """Why a part, or one side of it, could not be read; nothing when it could."""
    return str(part["error"]) if isinstance(part, dict) and "error" in part else ""


def _writer(writer: dict[str, Any]) -> list[RenderableType]:
    sides = []
    for side in ("source", "target"):
        fence = writer[side]
        if failure := _failure(fence):
            sides.append(f"{side}: {failure}")
        elif not fence["installed"]:
            sides.append(f"{side}: no control schema")
        else:
            sides.append(f"{side}: {fence['state']} at epoch {fence['epoch']}")
    finished = " (finished)" if writer["finished"] else ""
    return [Text(f"writer   {writer['open'] or 'none'}{finished}; {'; '.join(sides)}")]


def _weights(weights: dict[str, Any]) -> list[RenderableType]:
    served, kept = weights["route53"], weights["parameters"]
    differ = "" if served == kept else f"; SSM says {kept['source']}/{kept['target']}: run `pm shift`"
    return [Text(f"weights  {served['source']}/{served['target']} (source/target){differ}")]


def _sides(part: dict[str, Any], title: str, view: Any) -> list[RenderableType]:
    """A line for each side."""
    lines: list[RenderableType] = []
    for side in ("source", "target"):
        failure = _failure(part[side])
        said, style = (failure, "red") if failure else view(part[side])
        lines.append(Text(f"{title:<8} {side}: {said}", style=style))
    return lines


def _service(health: dict[str, Any]) -> tuple[str, str]:
    said = (
        f"{health['running']} of {health['desired']} tasks run, "
        f"{health['healthy']} targets healthy, {health['unhealthy']} not"
    )
    return said, "" if health["good"] else "red"


def _slots(slots: list[dict[str, Any]]) -> tuple[str, str]:
    return "; ".join(map(_slot, slots)) or "none", ""


def _slot(slot: dict[str, Any]) -> str:
    behind = "position unknown" if slot["behind_bytes"] is None else f"{slot['behind_bytes']:,} bytes behind"
    return f"{slot['name']} {'is read' if slot['active'] else 'waits'}, {behind}"


def _rows(rows: list[dict[str, Any]], title: str) -> RenderableType:
    if not rows:
        return Text(f"no {title}s", style="dim")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0]:
        table.add_column(title if name == "name" else name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_shown(value)) for value in row.values()))
    return table


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value in (None, "") else str(value)
