"""What a synthesized dashboard shows."""

import json
from typing import Any

import aws_cdk as cdk
from aws_cdk.assertions import Template

Body = dict[str, Any]


def body_of(stack: cdk.Stack, name: str) -> Body:
    (dashboard,) = (
        one["Properties"]
        for one in Template.from_stack(stack).find_resources("AWS::CloudWatch::Dashboard").values()
        if one["Properties"]["DashboardName"] == name
    )
    text = dashboard["DashboardBody"]
    if isinstance(text, dict):
        text = "".join(part if isinstance(part, str) else "token" for part in text["Fn::Join"][1])
    body: Body = json.loads(text)
    return body


def graphs(body: Body) -> dict[str, Any]:
    """Properties by title."""
    return {
        widget["properties"]["title"]: widget["properties"] for widget in body["widgets"] if widget["type"] == "metric"
    }


def metrics(body: Body) -> set[tuple[str, str]]:
    return {
        (metric[0], metric[1])
        for graph in graphs(body).values()
        for metric in graph["metrics"]
        if isinstance(metric[0], str)
    }


def labels(graph: dict[str, Any]) -> list[str]:
    return [metric[-1]["label"] for metric in graph["metrics"]]


def text_on_top(body: Body) -> str:
    (text,) = (widget for widget in body["widgets"] if widget["type"] == "text")
    assert text["y"] == 0
    return str(text["properties"]["markdown"])


def widths(body: Body) -> set[int]:
    """How wide the rows are."""
    rows: dict[int, int] = {}
    for widget in body["widgets"]:
        rows[widget["y"]] = rows.get(widget["y"], 0) + widget["width"]
    return set(rows.values())
