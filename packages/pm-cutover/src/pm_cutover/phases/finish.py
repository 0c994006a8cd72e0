"""`pm finish`: the target stands alone; replication back ends and nothing of the engine stays on it."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from pm_cutover.control import remove
from pm_cutover.errors import RefusedError
from pm_cutover.phases.run import Run, read_writer, require_installed
from pm_cutover.protocol import engine_lock


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishResult:
    """The end.

    Attributes:
        already: An earlier run had done it.
        source: What is left of the source.
    """

    already: bool
    source: str = "sealed: it refuses every write until it is destroyed, so that there are never two writers"


def finish(run: Run, *, idle_window_seconds: float, metric_delay_seconds: float) -> FinishResult:
    """Stop replication back, drop the slots, remove the control schema from the target.

    The source keeps its control schema, sealed.

    Args:
        run: The deployment.
        idle_window_seconds: How long nobody must have used the source; 0 does not ask.
        metric_delay_seconds: How late the load balancer's metrics come.

    Raises:
        RefusedError: The target is not the writer, or somebody still uses the source.
        EngineBusyError: Another command reads or moves; nothing has ended.
        ControlError: A transaction never let go of the target's tables. Replication back has ended by then.
    """
    with run.alone():
        writer = read_writer(run)
        if writer.finished:
            return FinishResult(already=True)
        name = require_installed(writer)
        if name != "target":
            raise RefusedError(f"the {name} is the writer: `pm cutover` moves it to the target first")
        if writer.source.state != "sealed":
            raise RefusedError(f"the source is {writer.source.state}: run `pm cutover` again, which completes the move")
        _check_idle(run, idle_window_seconds, metric_delay_seconds)
        if read_writer(run) != writer:
            raise RefusedError("the writer moved while the source was watched: see `pm status`")
        replication = run.deployment.replication()
        # Whoever would keep the schema from going is met before anything ends.
        with engine_lock(run.source, run.target):
            replication.stop(run.target, run.source)
            run.progress.step("replication target -> source stopped, slot pm_reverse dropped")
        try:
            replication.stop(run.source, run.target)
            remove(run.target, word=writer.target.word)
        except Exception as error:
            error.add_note("replication back has ended: there is no way back any more, and only `pm finish` leads on")
            raise
        run.progress.step("control schema removed from the target")
        run.evidence.record("finished", {"idle_window_seconds": idle_window_seconds})
        return FinishResult(already=False)


def _check_idle(run: Run, window_seconds: float, delay_seconds: float) -> None:
    traffic = run.deployment.traffic()
    weights = traffic.recorded()
    if weights.source:
        raise RefusedError(
            f"weights are {weights} (source/target): `pm shift 100` sends all traffic to the target first"
        )
    if not window_seconds:
        return
    service = run.deployment.service("source")
    with traffic.source_unchecked():
        run.progress.waiting(f"watching the source's load balancer for {window_seconds:g} s")
        time.sleep(delay_seconds)  # until what came before shows in the metric
        since = datetime.now(UTC)
        before = service.served(since=since)
        time.sleep(window_seconds + delay_seconds)
        requests = service.served(since=since) - before
    if requests:
        raise RefusedError(
            f"the source served {requests:.0f} requests within {window_seconds:g} s: clients keep old DNS answers; "
            "wait until they have moved, then run again"
        )
