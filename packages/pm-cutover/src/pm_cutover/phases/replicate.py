"""`pm replicate`: schema, control schema, full load and changes; run again after any death, it converges."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from pm_cutover.aws.replication import DmsReplication
from pm_cutover.aws.tasks import TableLoad
from pm_cutover.control import SOURCE_WORD, TARGET_WORD, install
from pm_cutover.database import Database, cut_after
from pm_cutover.deadlines import wait_for
from pm_cutover.errors import RefusedError
from pm_cutover.phases.preflight import CHECK_SECONDS, preflight, refuse_blockers
from pm_cutover.phases.run import Run, Writer, read_writer
from pm_cutover.phases.table_checks import has_rows
from pm_cutover.protocol import marker_round_trip
from pm_cutover.schema import copy_tables, dump_schema, finish_tables

STALL_SECONDS = 900.0
CURRENT_SECONDS = 1800.0
CURRENT_LAG_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicateResult:
    """Where replication stands.

    Attributes:
        already: Nothing was done, because the writer has moved since: replication follows it by itself.
        tables: Rows loaded per table.
        lag_seconds: What a marker needed at the end; None when ``already``.
        seconds: How long this run took.
    """

    already: bool
    tables: dict[str, int]
    lag_seconds: float | None
    seconds: float


def replicate(run: Run) -> ReplicateResult:
    """Make the target follow the source.

    Raises:
        RefusedError: A blocker, a failed task, or no progress for a quarter of an hour.
    """
    started = time.monotonic()
    with run.alone():
        writer = read_writer(run)
        replication = run.deployment.replication()
        if _moved(writer):
            loads = replication.load.loads()
            return ReplicateResult(
                already=True, tables=_rows(loads), lag_seconds=None, seconds=time.monotonic() - started
            )
        if not replication.load.state().ran_before:
            refuse_blockers(preflight(run))
        _prepare(run, replication)
        state = replication.load.state()
        if state.ran_before and not state.running and _all_empty(run.target, replication.load.tables()):
            replication.load.reload()  # it failed before its first row, or somebody dropped what it had loaded
        else:
            replication.load.start_or_resume()
        run.progress.step("replication task load runs")
        loads = _wait_loaded(run, replication)
        run.evidence.record("loaded", {"rows": dict(_rows(loads))})
        _finish_schema(run, replication)
    lag = _wait_current(run)
    run.evidence.record("current", {"lag_seconds": round(lag, 3)})
    run.progress.step(f"the target follows the source, {lag:.2f} s behind")
    return ReplicateResult(already=False, tables=_rows(loads), lag_seconds=lag, seconds=time.monotonic() - started)


def _moved(writer: Writer) -> bool:
    if writer.finished:
        raise RefusedError(
            "the migration is finished (pm finish has run): destroy the source, or start a new deployment"
        )
    return writer.moved


def _prepare(run: Run, replication: DmsReplication) -> None:
    tables = replication.load.tables()
    with dump_schema(run.source, schemas=_schemas(tables)) as archive:
        if copy_tables(archive, source=run.source, target=run.target, tables=tables):
            run.progress.step(f"tables and primary keys made on the target: {', '.join(tables)}")
            run.evidence.record("schema copied", {"tables": list(tables)})
    # The target first: from the moment the source has its fence, the target must be known to be closed.
    install(run.target, tables=tables, word=TARGET_WORD)
    install(run.source, tables=tables, word=SOURCE_WORD)
    run.progress.step("control schema installed: the source is the writer, the target is sealed")


def _wait_loaded(run: Run, replication: DmsReplication) -> tuple[TableLoad, ...]:
    tables = replication.load.tables()
    expected = _estimated_rows(run.source, tables)
    started = moved = time.monotonic()
    progress: object = None
    while True:
        loads = tuple(load for load in replication.load.loads() if load.table in tables)
        failed = [f"{load.table} ({load.state})" for load in loads if load.failed]
        if failed:
            raise RefusedError(
                f"DMS gave up on {', '.join(failed)}: see the task's log, correct the cause, then load the target anew "
                "(docs/runbook.md: stop the task, drop the target's replicated tables, run this again)"
            )
        if len(loads) == len(tables) and all(load.done for load in loads):
            run.progress.step(f"full load done: {sum(load.rows for load in loads):,} rows")
            return loads
        state = replication.load.state()
        if not state.running:
            raise RefusedError(
                f"task {state.identifier} is {state.status} during its full load "
                f"({state.message or 'no reason given'}): "
                "see its log, then run again"
            )
        now = time.monotonic()
        if loads != progress:
            progress, moved = loads, now
        elif now - moved > STALL_SECONDS:
            raise RefusedError(f"the full load made no progress for {STALL_SECONDS:g} s: see the task's log, run again")
        run.progress.waiting(_load_line(loads, expected, now - started))
        time.sleep(0.5 if now - started < 30 else 5.0)


def _finish_schema(run: Run, replication: DmsReplication) -> None:
    with dump_schema(run.source, schemas=_schemas(replication.load.tables())) as archive:
        made = finish_tables(
            archive,
            source=run.source,
            target=run.target,
            on_entry=lambda what, number, total: run.progress.waiting(f"{number} of {total}: {what}"),
        )
    run.progress.step(f"indexes, constraints and triggers on the target: {made} made")
    run.evidence.record("schema finished", {"made": made})


def _wait_current(run: Run) -> float:
    def current() -> float | None:
        lag = marker_round_trip(run.source, run.target, timeout_seconds=CURRENT_SECONDS)
        run.progress.waiting(f"the target is {lag:.1f} s behind")
        return lag if lag <= CURRENT_LAG_SECONDS else None

    return wait_for(
        f"the target to be less than {CURRENT_LAG_SECONDS:g} s behind",
        current,
        timeout_seconds=CURRENT_SECONDS,
        interval_seconds=0.2,
        advice="see `pm status` and the replication instance's CPU, then run again",
    )


def _load_line(loads: Sequence[TableLoad], expected: float, elapsed_seconds: float) -> str:
    rows = sum(load.rows for load in loads)
    parts = ", ".join(f"{load.table} {load.rows:,} ({load.state.removeprefix('Table ').lower()})" for load in loads)
    if not rows or expected <= rows:
        return parts or "waiting for the first table"
    return f"{parts}; about {elapsed_seconds * (expected - rows) / rows:.0f} s left"


def _estimated_rows(source: Database, tables: Sequence[str]) -> float:
    with source.connect() as connection, cut_after(CHECK_SECONDS, connection):
        row = connection.execute(
            "select coalesce(sum(greatest(reltuples, 0)), 0) from pg_class where oid = any(%s::text[]::regclass[])",
            (list(tables),),
        ).fetchone()
    return float(row[0]) if row is not None else 0.0


def _all_empty(target: Database, tables: Sequence[str]) -> bool:
    with target.connect() as connection, cut_after(CHECK_SECONDS, connection):
        return not any(has_rows(connection, table) for table in tables)


def _schemas(tables: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({table.partition(".")[0] for table in tables}))


def _rows(loads: Sequence[TableLoad]) -> dict[str, int]:
    return {load.table: load.rows for load in loads}
