"""The whole migration on one machine: deploy, pay, move, roll back, move again, destroy, prove."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pm_cutover.phases.move import MAX_DRAIN_SECONDS
from pm_rehearsal.audit import Audit, Existing, audit, existing
from pm_rehearsal.load import read_book, write_gaps
from pm_rehearsal.load.process import LoadProcess
from pm_rehearsal.progress import Progress
from pm_rehearsal.report import Report
from pm_rehearsal.stage import Stage, StageOptions

BASELINE_SECONDS = 8.0
BAKE = "2s"
IDLE_WINDOW = "3s"
METRIC_DELAY = "2s"  # the embedded load balancers report each second
MAX_LAG_SECONDS = 3.0
# A move may drain for twice the lag and MAX_LAG_SECONDS, and pm allows it a minute.
MAX_REPLICATION_LAG_SECONDS = (MAX_DRAIN_SECONDS - MAX_LAG_SECONDS) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a rehearsal may be told.

    Attributes:
        stage: Where and under which name.
        rate: Payments per second.
        acknowledged: The load goes on at least until so many payments are acknowledged.
        history: Payments that the source holds before the migration.
        keep: Called before destroying, with shell lines that say how to look at the deployment.
    """

    stage: StageOptions
    rate: float = 200.0
    acknowledged: int = 5000
    history: int = 20_000
    keep: Callable[[str], None] | None = None


def rehearse(options: Options, progress: Progress) -> Report:
    """Run the whole rehearsal; everything that it started is gone when it returns or raises.

    Raises:
        CdkError: A deployment failed.
        EngineError: A verb of `pm` failed or refused.
        LoadError: The load ended by itself.
    """
    with ExitStack() as stack:
        with progress.step("start the embedded AWS"):
            stage = stack.enter_context(Stage(options.stage))
        run = _Run(stage, options, progress)
        run.deploy()
        run.migrate()
        audits = (run.audit(), run.finish())
        if options.keep is not None:
            options.keep(stage.how_to_look())
        retried = stage.retried_requests()
        leftovers = run.destroy()
    return run.report(audits, retried, leftovers)


class _Run:
    """The steps, in the order in which they are called."""

    def __init__(self, stage: Stage, options: Options, progress: Progress) -> None:
        self._stage, self._options, self._progress = stage, options, progress
        self._book = options.stage.directory / "book.jsonl"
        self._second_book = options.stage.directory / "book-after.jsonl"
        self._accounts: tuple[int, ...] = ()
        self._before = Existing(payments=frozenset(), refunds=frozenset())
        self._moves: list[tuple[float, float]] = []
        self._pauses_ms: list[float] = []

    def deploy(self) -> None:
        step, stage, detail = self._progress.step, self._stage, self._progress.detail
        with step("synthesize both apps"):
            stacks = stage.synthesize()
        with step("bootstrap the account"):
            stage.bootstrap()
        with step("deploy the registries, push the images"):
            stage.deploy_registries(stacks, on_line=detail)
        rest = [name for name in stacks if not name.startswith("registry-")]
        with step(f"deploy the other {len(rest)} stacks"):
            stage.cdk.deploy(rest, on_line=detail)

    def migrate(self) -> None:
        """The migration under load, as an operator does it."""
        pm, step, options = self._pm, self._progress.step, self._options
        with step(f"give the source a history of {options.history:,} payments"):
            self._accounts = self._stage.seed(payments=options.history)
            self._before = existing(self._stage.deployment.conninfo("source", "cutover"))
        with self._load(self._book, seed=1) as load:
            with step(f"take payments, {options.rate:g} a second, without a migration"):
                load.wait(seconds=BASELINE_SECONDS)
            pm("preflight")
            pm("replicate")
            pm("verify")
            pm("status", "--remote")
            pm("shift", "5,25,50,100", "--bake", BAKE)
            self._move("cutover")
            pm("verify")
            self._move("rollback")
            pm("shift", "50,100", "--bake", BAKE)
            self._move("cutover")
            pm("verify")
            pm("status")
            with step(f"take payments until {options.acknowledged:,} are acknowledged"):
                load.wait(seconds=1.0, acknowledged=options.acknowledged)
            with step("stop the load"):
                load.stop()
        self._progress.load("")

    def audit(self) -> Audit:
        """Both databases, while both still have everything."""
        with self._progress.step("audit both databases against the clients' book"):
            return audit(
                read_book(self._book),
                source=self._stage.deployment.conninfo("source", "cutover"),
                target=self._stage.deployment.conninfo("target", "cutover"),
                before=self._before,
            )

    def finish(self) -> Audit:
        """End the migration under load; from here on only the target gets payments."""
        target = self._stage.deployment.conninfo("target", "cutover")
        before = existing(target)
        with self._load(self._second_book, seed=2) as load:
            with self._progress.step("take payments again"):
                load.wait(seconds=1.0)
            self._pm("finish", "--idle-window", IDLE_WINDOW, "--metric-delay", METRIC_DELAY)
            with self._progress.step("stop the load"):
                load.wait(seconds=2.0)
                load.stop()
        self._progress.load("")
        with self._progress.step("audit the target against the clients' second book"):
            return audit(read_book(self._second_book), target=target, before=before)

    def destroy(self) -> tuple[str, ...]:
        with self._progress.step("destroy everything"):
            self._stage.cdk.destroy(on_line=self._progress.detail)
        with self._progress.step("look for leftovers"):
            return self._stage.leftovers()

    def report(self, audits: tuple[Audit, ...], retried: int, leftovers: tuple[str, ...]) -> Report:
        gaps, baseline = write_gaps(read_book(self._book), self._moves)
        return Report(
            rate=self._options.rate,
            replication_lag_seconds=self._options.stage.replication_latency_seconds,
            acknowledged=sum(one.acknowledged for one in audits),
            lost=sum(len(one.lost) + len(one.altered) for one in audits),
            doubled=sum(len(one.doubled) for one in audits),
            unexplained=sum(len(one.unexplained) for one in audits),
            failed=sum(one.failed for one in audits),
            retried=retried,
            ledger_balanced=not any(one.unbalanced for one in audits),
            databases_equal=not any(one.differences for one in audits),
            findings=tuple(str(finding) for one in audits for finding in one.findings),
            write_gap_ms=tuple(round(gap, 1) for gap in gaps),
            baseline_gap_ms=round(baseline, 1),
            engine_pause_ms=tuple(round(pause, 1) for pause in self._pauses_ms),
            leftovers=leftovers,
            steps=tuple(self._progress.steps),
        )

    def _load(self, book: Path, *, seed: int) -> LoadProcess:
        return self._stage.load(
            book,
            rate=self._options.rate,
            accounts=self._accounts,
            seed=seed,
            on_status=self._progress.load,
        )

    def _pm(self, verb: str, *arguments: str) -> dict[str, Any]:
        with self._progress.step(" ".join(("pm", verb, *arguments))):
            return self._stage.engine.run(verb, *arguments, on_line=self._progress.detail)

    def _move(self, verb: str) -> None:
        allowed = f"{MAX_LAG_SECONDS + 2 * self._options.stage.replication_latency_seconds:g}s"
        outcome = self._pm(verb, "--max-lag", allowed, "--drain-timeout", allowed)
        self._moves.append((outcome["fenced_at"], outcome["opened_at"]))
        self._pauses_ms.append(outcome["pause_ms"])
        self._progress.say(
            f"the {outcome['destination']} is the writer; the engine's pause was {outcome['pause_ms']:.1f} ms"
        )
