"""What a rehearsal proved: the figures, their table for the terminal, their JSON for machines."""

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.table import Table

WRITE_GAP_LIMIT_MS = 100.0
LAG_TOLERANCE = 0.1  # of an added replication lag, which is not exact


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """How long one step took."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of a rehearsal.

    Attributes:
        rate: Payments per second that the load generator offered.
        replication_lag_seconds: Added to replication; the write gap cannot be shorter.
        acknowledged: Payments that the service confirmed to the client.
        lost: Acknowledged payments that a database lacks or holds altered.
        doubled: Idempotency keys that were charged more than once.
        unexplained: Payments and refunds that no client was told of and no failed request explains.
        failed: Requests without a 2xx answer within their deadline.
        retried: Requests that a load balancer of the embedded AWS saved; AWS would have answered them with 502.
        ledger_balanced: Whether every ledger transaction sums to zero in both databases.
        databases_equal: Whether both databases held the same rows once replication had drained.
        findings: What the audit found, each with table and key.
        write_gap_ms: For each move of the writer the longest time without an acknowledged payment.
        baseline_gap_ms: The median longest gap in equally long windows without a move.
        engine_pause_ms: For each move the pause that the engine measured itself.
        leftovers: What was still there after destroy, ``<region> <kind> <id>``.
        steps: Every step with its duration.
    """

    rate: float
    replication_lag_seconds: float
    acknowledged: int
    lost: int
    doubled: int
    unexplained: int
    failed: int
    retried: int
    ledger_balanced: bool
    databases_equal: bool
    findings: tuple[str, ...] = ()
    write_gap_ms: tuple[float, ...]
    baseline_gap_ms: float
    engine_pause_ms: tuple[float, ...]
    leftovers: tuple[str, ...]
    steps: tuple[StepTime, ...] = field(repr=False)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why this rehearsal did not pass; empty when it did."""
        found = []
        if self.lost:
            found.append(f"{self.lost} payments lost")
        if self.doubled:
            found.append(f"{self.doubled} payments doubled")
        if self.unexplained:
            found.append(f"{self.unexplained} payments unexplained")
        if self.failed:
            found.append(f"{self.failed} requests failed")
        if self.retried:
            found.append(f"{self.retried} requests would have failed on AWS")
        if not self.ledger_balanced:
            found.append("the ledger is not balanced")
        if not self.databases_equal:
            found.append("the databases differ")
        if self.leftovers:
            found.append(f"{len(self.leftovers)} resources left after destroy")
        return tuple(found)

    def write(self, file: Path) -> None:
        """Write the report as JSON."""
        document = asdict(self) | {"passed": not self.problems, "problems": self.problems}
        file.write_text(json.dumps(document, indent=2) + "\n")

    def table(self) -> Table:
        """The figures for a terminal: what was measured, and what it must be."""
        table = Table(title="Rehearsal", title_justify="left")
        table.add_column("figure")
        table.add_column("measured", justify="right")
        table.add_column("must be")
        table.add_column("")

        def row(figure: str, measured: str, wanted: str, passed: bool | None) -> None:
            verdict = "" if passed is None else "[green]ok[/]" if passed else "[red]NO[/]"
            table.add_row(figure, measured, wanted, verdict)

        row("payments acknowledged", f"{self.acknowledged:,}", "", None)
        row("lost", f"{self.lost:,}", "0", self.lost == 0)
        row("doubled", f"{self.doubled:,}", "0", self.doubled == 0)
        row("unexplained", f"{self.unexplained:,}", "0", self.unexplained == 0)
        row("failed requests", f"{self.failed:,}", "0", self.failed == 0)
        row("requests that AWS would have failed", f"{self.retried:,}", "0", self.retried == 0)
        row("ledger balanced", _yes(self.ledger_balanced), "yes", self.ledger_balanced)
        row("databases equal", _yes(self.databases_equal), "yes", self.databases_equal)
        for number, gap in enumerate(self.write_gap_ms, start=1):
            row(f"write gap, move {number}", f"{gap:.1f} ms", "", None)
        if self.write_gap_ms:
            median = statistics.median(self.write_gap_ms)
            limit = WRITE_GAP_LIMIT_MS + 1000 * self.replication_lag_seconds * (1 + LAG_TOLERANCE)
            row("write gap, median", f"{median:.1f} ms", f"<= {limit:.0f} ms (aim)", median <= limit)
        row("gap without a move, median", f"{self.baseline_gap_ms:.1f} ms", "", None)
        row("left after destroy", f"{len(self.leftovers):,}", "0", not self.leftovers)
        return table


def _yes(value: bool) -> str:
    return "yes" if value else "no"
