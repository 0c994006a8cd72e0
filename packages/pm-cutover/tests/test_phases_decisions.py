"""Decisions that need no database and no AWS."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_cutover.control import FenceState
from pm_cutover.deadlines import parse_duration, wait_for
from pm_cutover.errors import RefusedError, UsageError
from pm_cutover.phases.findings import blocker, ok, warning
from pm_cutover.phases.move import limits_of
from pm_cutover.phases.plan import Facts, phases_of
from pm_cutover.phases.preflight import refuse_blockers
from pm_cutover.phases.run import Writer, require_installed
from pm_cutover.phases.shift import parse_steps, remaining_steps

NONE = FenceState(installed=False, word=0, epoch=0, state="open", lease_remaining_seconds=0)


def fence(epoch: int, state: str) -> FenceState:
    digit = ("open", "fenced", "sealed").index(state)
    return FenceState(installed=True, word=epoch * 10 + digit, epoch=epoch, state=state, lease_remaining_seconds=0)  # type: ignore[arg-type] # one of the three


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (NONE, NONE, "source"),
        (NONE, fence(0, "sealed"), "source"),
        (fence(1, "open"), fence(0, "sealed"), "source"),
        (fence(1, "sealed"), fence(2, "open"), "target"),
        (fence(3, "open"), fence(2, "sealed"), "source"),
        (fence(1, "sealed"), fence(0, "sealed"), None),
        (fence(1, "fenced"), fence(0, "sealed"), None),
        (fence(1, "sealed"), NONE, "target"),
    ],
)
def test_open_writer_follows_the_services_rule(source: FenceState, target: FenceState, expected: str | None) -> None:
    assert Writer(source=source, target=target).open == expected


def test_an_interrupted_move_says_how_to_go_on() -> None:
    with pytest.raises(RefusedError, match=r"`pm cutover` to go on, or `pm rollback` to go back"):
        require_installed(Writer(source=fence(1, "sealed"), target=fence(0, "sealed")))


def test_a_missing_control_schema_names_the_side() -> None:
    with pytest.raises(RefusedError, match="no control schema on the source: run `pm replicate` first"):
        require_installed(Writer(source=NONE, target=fence(0, "sealed")))


def test_steps_are_whole_percents() -> None:
    assert parse_steps("5,25, 50,100") == (5, 25, 50, 100)
    for wrong in ("", "101", "5,,6", "-1", "2.5", "half"):
        with pytest.raises(UsageError, match="whole percents from 0 to 100"):
            parse_steps(wrong)


@pytest.mark.parametrize(
    ("steps", "share", "left"),
    [
        ((5, 25, 50, 100), 0, (5, 25, 50, 100)),
        ((5, 25, 50, 100), 25, (25, 50, 100)),
        ((5, 25, 50, 100), 30, (50, 100)),
        ((5,), 100, (5,)),
        ((0,), 100, (0,)),
        ((50, 0), 100, (50, 0)),
        ((5, 25), 100, (5, 25)),
    ],
)
def test_rising_steps_go_on_where_an_earlier_run_ended(
    steps: tuple[int, ...], share: float, left: tuple[int, ...]
) -> None:
    assert remaining_steps(steps, share) == left


@given(st.lists(st.integers(0, 100), min_size=1), st.integers(0, 100))
def test_the_last_step_is_never_left_out(steps: list[int], share: int) -> None:
    assert remaining_steps(steps, share)[-1] == steps[-1]


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("10s", 10), ("5m", 300), ("1h", 3600), ("30", 30)])
def test_durations_carry_their_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5 min", "-1s", "m", "1d"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="for example 500ms, 10s, 5m"):
        parse_duration(text)


def test_waiting_ends_with_advice() -> None:
    with pytest.raises(RefusedError, match=r"waited 0\.05 s for rain, in vain: dance"):
        wait_for("rain", lambda: None, timeout_seconds=0.05, interval_seconds=0.01, advice="dance")


def test_the_lease_outlives_barrier_and_drain() -> None:
    limits = limits_of(max_lag_seconds=3, drain_seconds=20)
    assert limits.lease_seconds > limits.barrier_seconds + limits.drain_seconds


def test_writes_never_wait_longer_than_a_minute_for_the_drain() -> None:
    assert limits_of(max_lag_seconds=300, drain_seconds=60).drain_seconds == 60
    with pytest.raises(ValueError, match=r"--drain-timeout is 300 s: at most 60 s are allowed"):
        limits_of(max_lag_seconds=3, drain_seconds=parse_duration("5m"))


def test_only_blockers_refuse() -> None:
    refuse_blockers([ok("a", "fine"), warning("b", "odd", "look")])
    with pytest.raises(RefusedError, match=r"c: broken - mend it \(and 1 more: run `pm preflight`\)"):
        refuse_blockers([ok("a", "fine"), blocker("c", "broken", "mend it"), blocker("d", "too", "mend")])


NOTHING = Facts(
    installed=False,
    moved=False,
    following=False,
    tasks="reverse is failed (disk full)",
    dead_end="",
    target_percent=0,
    target_writes=False,
    finished=False,
)
FOLLOWED = replace(NOTHING, installed=True, following=True)
CUT_OVER = replace(FOLLOWED, moved=True, target_percent=100, target_writes=True)


@pytest.mark.parametrize(
    ("facts", "next_phase", "command"),
    [
        (NOTHING, "replicate", "pm preflight && pm replicate && pm verify"),
        (replace(NOTHING, installed=True), "replicate", "pm preflight && pm replicate && pm verify"),
        (FOLLOWED, "shift", "pm shift 5,25,50,100 --bake 5m"),
        (replace(FOLLOWED, target_percent=100), "cutover", "pm cutover"),
        (CUT_OVER, "finish", "pm finish"),
        (replace(CUT_OVER, following=False), "cutover", "pm cutover"),
        (replace(CUT_OVER, following=False, dead_end="the slot is gone"), "finish", "pm finish"),
        (replace(FOLLOWED, moved=True, following=False), "replicate", "pm rollback && pm verify"),
    ],
)
def test_plan_names_the_next_phase(facts: Facts, next_phase: str, command: str) -> None:
    assert [(phase.phase, phase.command) for phase in phases_of(facts) if phase.state == "next"] == [
        (next_phase, command)
    ]


def test_nothing_is_next_once_the_migration_is_finished() -> None:
    finished = replace(CUT_OVER, installed=False, following=False, finished=True)
    assert {phase.state for phase in phases_of(finished)} == {"done"}


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (CUT_OVER, "the way back is open (pm rollback)"),
        (replace(CUT_OVER, following=False), "the way back waits for replication back, which does not run"),
        (replace(CUT_OVER, dead_end="the slot is gone"), "the slot is gone"),
        (replace(CUT_OVER, following=False, dead_end="the slot is gone"), "the slot is gone"),
    ],
)
def test_plan_says_the_way_back_is_open_only_while_rows_flow_back(facts: Facts, said: str) -> None:
    assert phases_of(facts)[-1].fact == said
