"""Steps 11 and 12: replication changes its direction, after the pause."""

from pm_cutover.control import handoff_of
from pm_cutover.database import cut_after
from pm_cutover.replication import ReplicationError
from pm_cutover.steps.locks import engine_name
from pm_cutover.steps.markers import MarkerTimeoutError, check_began_in_time, new_token, round_trip
from pm_cutover.steps.move import Move


def stop(move: Move) -> None:
    """Stop a -> b: everything from ``a`` has arrived, and what ``b`` sends back must not come here again."""
    move.changed |= move.replication.stop(move.a, move.b)


def start(move: Move) -> None:
    """Start b -> a from the handoff position, and prove with two markers that it runs and began there.

    Raises:
        ReplicationError: It does not start, or carries nothing.
        DeadEndError: It began later.
    """
    handoff = handoff_of(move.sessions.b, epoch=move.epoch + 1)
    if handoff is None:
        raise ReplicationError(
            f"{move.b.name} is open at epoch {move.epoch + 1} but holds no handoff position for it: "
            "replication back cannot start where the writes began"
        )
    move.changed |= move.replication.start_from(move.b, move.a, handoff.start_lsn)
    token, seconds = new_token(move.b, move.a, "prove"), move.limits.reverse_seconds
    try:
        # A connection of its own: the old writer is only read, and may have cut ours since the seal.
        with (
            move.a.connect(application_name=engine_name("proof")) as there,
            cut_after(seconds + 1, move.sessions.b, there),
        ):
            round_trip(move.sessions.b, there, token, timeout_seconds=seconds)
            check_began_in_time(move.sessions.b, there, handoff, names=(move.b.name, move.a.name))
    except MarkerTimeoutError as error:
        raise ReplicationError(
            f"{move.b.name} -> {move.a.name} was started but carried no row within {seconds:g} s: "
            "see pm status and the task's log, then run again"
        ) from error
