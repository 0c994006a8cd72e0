"""How our dashboards look: a text on top, then rows of graphs that share the width."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

WIDTH = 24
_HEIGHT = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """One graph.

    Attributes:
        unit: Of its axis.
        metrics: Its lines.
        limit: Where an alarm's line is; None draws none.
    """

    unit: str
    metrics: Sequence[cloudwatch.IMetric]
    limit: float | None = None


Row = Mapping[str, Graph]  # by title


def text(markdown: str, *, height: int) -> cloudwatch.TextWidget:
    """A text over the whole width."""
    return cloudwatch.TextWidget(markdown=markdown, width=WIDTH, height=height)


def section(runbook: str, anchor: str) -> str:
    """A section of the runbook in a text; a link where the runbook is one."""
    where = f"{runbook}#{anchor}"
    return f"[runbook]({where})" if runbook.startswith("https://") else where


def row(graphs: Row) -> list[cloudwatch.IWidget]:
    """Graphs side by side."""
    return [
        cloudwatch.GraphWidget(
            title=title,
            left=list(graph.metrics),
            left_y_axis=cloudwatch.YAxisProps(min=0, label=graph.unit, show_units=False),
            left_annotations=[
                cloudwatch.HorizontalAnnotation(value=graph.limit, label="alarm", color=cloudwatch.Color.RED)
            ]
            if graph.limit is not None
            else None,
            width=WIDTH // len(graphs),
            height=_HEIGHT,
        )
        for title, graph in graphs.items()
    ]


def console_url(dashboard_name: str, region: str) -> str:
    """Where a dashboard is opened."""
    return (
        f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#dashboards/dashboard/{dashboard_name}"
    )


def dashboard_interval() -> cdk.Duration:
    """What a dashboard shows when it is opened."""
    return cdk.Duration.hours(3)
