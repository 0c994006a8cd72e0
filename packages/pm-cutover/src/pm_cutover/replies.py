"""What a verb answers: an exit code, facts for machines, and the same facts for people."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pm_cutover.comparison import TableComparison
from pm_cutover.evidence import Value
from pm_cutover.phases.findings import Finding
from pm_cutover.phases.finish import FinishResult
from pm_cutover.phases.move import RollbackResult, outcome_facts
from pm_cutover.phases.plan import PhaseState
from pm_cutover.phases.replicate import ReplicateResult
from pm_cutover.phases.shift import ShiftResult
from pm_cutover.protocol import Outcome

DONE, REFUSED, PERSON = 0, 1, 3
SHOWN_MISMATCHES = 20
_EXIT_CODES = {"refused": REFUSED, "aborted": REFUSED, "unfinished": PERSON}
_STYLES = {"ok": "green", "warning": "yellow", "blocker": "red", "done": "green", "next": "bold", "later": "dim"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The end of a verb.

    Attributes:
        facts: A JSON object.
        view: The same for a terminal.
        exit_code: 0 done, 1 refused or aborted safely, 3 needs a person.
    """

    facts: dict[str, Value]
    view: RenderableType
    exit_code: int = DONE


def preflight_reply(findings: Sequence[Finding]) -> Reply:
    """``{findings: [{id, level, finding, fix}], blockers}``."""
    blockers = sum(finding.level == "blocker" for finding in findings)
    table = _table("check", "", "found", "what to do")
    for finding in findings:
        table.add_row(finding.id, _styled(finding.level), Text(finding.finding), Text(finding.fix))
    verdict = f"{blockers} blockers: correct them before `pm replicate`" if blockers else "ready for `pm replicate`"
    return Reply(
        facts={"findings": [dict(asdict(finding)) for finding in findings], "blockers": blockers},
        view=Group(table, Text(verdict)),
        exit_code=REFUSED if blockers else DONE,
    )


def replicate_reply(result: ReplicateResult) -> Reply:
    """``{already, tables: {table: rows}, lag_seconds, seconds}``."""
    if result.already:
        view = Text("replicated before, and the writer has moved since: replication follows it by itself")
    else:
        view = Text(
            f"replicated {sum(result.tables.values()):,} rows of {len(result.tables)} tables "
            f"in {result.seconds:.0f} s; the target is {result.lag_seconds or 0:.2f} s behind. Next: pm verify"
        )
    return Reply(facts=dict(asdict(result)), view=view)


def verify_reply(comparisons: Sequence[TableComparison]) -> Reply:
    """``{equal, tables: [{table, rows, suspects, mismatches, moving, complete}]}``; mismatches are keys."""
    table = _table("table", "rows", "differ", "kept changing", "keys that differ")
    for comparison in comparisons:
        shown = "\n".join(comparison.mismatches[:SHOWN_MISMATCHES])
        hidden = len(comparison.mismatches) - SHOWN_MISMATCHES
        table.add_row(
            comparison.table,
            f"{comparison.rows:,}" + ("" if comparison.complete else " (stopped early)"),
            str(len(comparison.mismatches)),
            str(len(comparison.moving)),
            Text(shown + (f"\nand {hidden} more" if hidden > 0 else "")),
        )
    equal = all(comparison.equal for comparison in comparisons)
    verdict = (
        "both sides hold the same rows" if equal else "the sides differ: repair these rows before the writer moves"
    )
    return Reply(
        facts={"equal": equal, "tables": [_comparison_facts(comparison) for comparison in comparisons]},
        view=Group(table, Text(verdict)),
        exit_code=DONE if equal else REFUSED,
    )


def shift_reply(result: ShiftResult) -> Reply:
    """``{before: {source, target}, after: {source, target}, steps}``."""
    facts: dict[str, Value] = {
        "before": dict(asdict(result.before)),
        "after": dict(asdict(result.after)),
        "steps": list(result.steps),
    }
    return Reply(facts=facts, view=Text(f"weights {result.after} (source/target), before {result.before}"))


def move_reply(outcome: Outcome) -> Reply:
    """Outcome: ``{result, origin, destination, epoch, fenced_at, opened_at, pause_ms, steps, reason, remarks}``."""
    return Reply(
        facts=outcome_facts(outcome), view=_move_view(outcome), exit_code=_EXIT_CODES.get(outcome.result, DONE)
    )


def rollback_reply(result: RollbackResult) -> Reply:
    """``{weights, ...}`` and, when there was something to move or to check, the fields of Outcome."""
    weights = None if result.weights is None else dict(asdict(result.weights))
    moved: dict[str, Value] = {"result": "already"} if result.move is None else outcome_facts(result.move)
    view: list[RenderableType] = [] if result.move is None else [_move_view(result.move)]
    view.append(Text("weights not set: see `pm status`" if result.weights is None else f"weights {result.weights}"))
    code = DONE if result.move is None else _EXIT_CODES.get(result.move.result, DONE)
    return Reply(facts={**moved, "weights": weights}, view=Group(*view), exit_code=code)


def finish_reply(result: FinishResult) -> Reply:
    """``{already, source}``."""
    done = "finished before" if result.already else "finished: the target stands alone"
    return Reply(facts=dict(asdict(result)), view=Text(f"{done}. The source is {result.source}."))


def plan_reply(phases: Sequence[PhaseState]) -> Reply:
    """``{phases: [{phase, state, fact, command}]}``."""
    table = _table("phase", "", "because", "command")
    for phase in phases:
        table.add_row(phase.phase, _styled(phase.state), phase.fact, phase.command)
    return Reply(facts={"phases": [dict(asdict(phase)) for phase in phases]}, view=table)


def _move_view(outcome: Outcome) -> RenderableType:
    way = f"{outcome.origin} -> {outcome.destination}"
    words = {
        "moved": f"the writer moved {way}; no writer for {outcome.pause_ms or 0:.1f} ms",
        "completed": f"an earlier move {way} is now complete",
        "already": f"the {outcome.destination} is the writer already",
        "ready": f"a move {way} would start now (dry run)",
        "refused": f"not started: {outcome.reason}",
        "aborted": f"taken back, the {outcome.origin} is the writer again: {outcome.reason}",
        "unfinished": f"a person is needed: {outcome.reason}",
    }
    table = _table("step", "ms")
    for step in outcome.steps:
        table.add_row(step.name, f"{step.milliseconds:.1f}")
    remarks = [Text(f"note: {remark}") for remark in outcome.remarks]
    return Group(table, *remarks, Text(words[outcome.result]))


def _comparison_facts(comparison: TableComparison) -> dict[str, Value]:
    return {
        **asdict(comparison),
        "mismatches": list(comparison.mismatches),
        "moving": list(comparison.moving),
        "equal": comparison.equal,
    }


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _styled(word: str) -> Text:
    return Text(word, style=_STYLES[word])
