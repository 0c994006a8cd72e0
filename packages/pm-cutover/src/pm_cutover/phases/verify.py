"""`pm verify`: every row of both databases compared while writes go on."""

from collections.abc import Sequence
from functools import partial

from pm_cutover.comparison import TableComparer, TableComparison, comparison_session, describe_table
from pm_cutover.errors import UsageError
from pm_cutover.phases.run import Run, other, read_writer, require_installed
from pm_cutover.protocol import engine_lock, marker_round_trip

SETTLE_SECONDS = 60.0


def verify(run: Run, *, only: Sequence[str] = ()) -> tuple[TableComparison, ...]:
    """Compare the writer with the side that follows it.

    Args:
        run: The deployment.
        only: ``schema.table`` each; all replicated tables when empty.

    Raises:
        UsageError: One of them is not replicated.
        RefusedError: Nothing to compare, a move is running, or replication stands still.
    """
    tables = run.deployment.replication().load.tables()
    unknown = [table for table in only if table not in tables]
    if unknown:
        raise UsageError(f"table {unknown[0]!r} is not replicated: choose from {', '.join(tables)}")
    writer_name = require_installed(read_writer(run))
    writer, follower = run.deployment.database(writer_name), run.deployment.database(other(writer_name))
    comparisons: list[TableComparison] = []
    with (
        engine_lock(run.source, run.target, shared=True),
        comparison_session(writer) as writer_session,
        comparison_session(follower) as follower_session,
    ):
        require_installed(read_writer(run))  # it cannot move any more from here on
        comparer = TableComparer(
            writer=writer_session,
            follower=follower_session,
            settle=partial(_settle, run, writer_name),
        )
        for table in only or tables:
            described = describe_table(writer_session, follower_session, table)
            comparison = comparer.compare(described, on_rows=partial(_say, run, table))
            run.evidence.record(
                "compared",
                {
                    "table": table,
                    "writer": writer_name,
                    "rows": comparison.rows,
                    "mismatches": list(comparison.mismatches[:100]),
                    "equal": comparison.equal,
                },
            )
            comparisons.append(comparison)
    return tuple(comparisons)


def _settle(run: Run, writer: str) -> None:
    source, target = run.source, run.target
    pair = (source, target) if writer == "source" else (target, source)
    marker_round_trip(*pair, timeout_seconds=SETTLE_SECONDS)


def _say(run: Run, table: str, rows: int) -> None:
    run.progress.waiting(f"{table}: {rows:,} rows compared")
