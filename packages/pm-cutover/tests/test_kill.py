"""The engine dies or freezes at every step, in both directions, while payments are made."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cutover_rig import PASSWORD, Load, NativeReplication, Rig, audit, wait_until

from pm_cutover.control import read_state
from pm_cutover.protocol import STEP_NAMES, Limits, Outcome, move_writer
from pm_postgres import spawn

CHILD = Path(__file__).parent / "cutover_child.py"
CHILD_SECONDS = 30


def start_child(rig: Rig, direction: str, step: str, moment: str, how: signal.Signals) -> subprocess.Popen[bytes]:
    return spawn(
        [
            sys.executable,
            str(CHILD),
            *(str(rig.source_port), str(rig.target_port), direction, step, moment, how.name),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def move(rig: Rig, replication: NativeReplication, direction: str) -> Outcome:
    a, b = (rig.source, rig.target) if direction == "forward" else (rig.target, rig.source)
    return move_writer(a, b, replication=replication, limits=Limits())


def expected(step: str, moment: str) -> str:
    """What the next run comes to after a death at this point."""
    if (step, moment) == ("open", "before") or STEP_NAMES.index(step) < STEP_NAMES.index("open"):
        return "moved"
    return "already" if (step, moment) == ("start", "after") else "completed"


def test_every_step_survives_kill_9_before_and_after_it_in_both_directions(rig: Rig, replication: NativeReplication):
    with Load(rig, payments_per_second=40) as load:
        for step in STEP_NAMES:
            for moment in ("before", "after"):
                for direction in ("forward", "back"):
                    where = f"{direction}, {moment} {step}"
                    child = start_child(rig, direction, step, moment, signal.SIGKILL)
                    output, _ = child.communicate(timeout=CHILD_SECONDS)
                    assert child.returncode == -signal.SIGKILL, f"{where}: {output.decode()}"
                    outcome = move(rig, replication, direction)
                    assert outcome.result == expected(step, moment), f"{where}: {outcome}"
                    assert rig.writer() == ("target" if direction == "forward" else "source"), where
                    assert load.failures == [], where
        assert move(rig, replication, "back").result == "already"
    audit(rig, load)
    assert len(load.acknowledged) > 100


@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_old_writer_opens_itself_after_the_death_of_an_engine_that_fenced_it(
    rig: Rig, replication: NativeReplication, moment: str
):
    with Load(rig) as load:
        child = start_child(rig, "forward", "drain", moment, signal.SIGKILL)
        child.communicate(timeout=CHILD_SECONDS)
        died = time.time()
        assert read_state(rig.source).state == "fenced"
        wait_until(lambda: load.acknowledged[-1][1] > died, "payments to go on", 5)
        assert read_state(rig.source).state == "open"
        assert 2 < load.acknowledged[-1][1] - died < 4
    audit(rig, load)


@pytest.mark.parametrize("step", ["seal", "barrier"])
def test_an_engine_frozen_beyond_its_lease_aborts(rig: Rig, replication: NativeReplication, step: str):
    with Load(rig) as load:
        child = start_child(rig, "forward", step, "before", signal.SIGSTOP)
        wait_until(lambda: read_state(rig.source).state == "fenced", "the fence")
        wait_until(lambda: read_state(rig.source).state == "open", "the lease to end", 5)
        load.wait_for(3)
        os.kill(child.pid, signal.SIGCONT)
        output, _ = child.communicate(timeout=CHILD_SECONDS)
        assert output.decode().startswith("aborted"), output.decode()
        assert rig.writer() == "source"
    audit(rig, load)


def test_an_engine_frozen_before_the_opening_cannot_open_once_it_has_lost_its_locks(
    rig: Rig, replication: NativeReplication
):
    with Load(rig) as load:
        child = start_child(rig, "forward", "open", "before", signal.SIGSTOP)
        wait_until(lambda: read_state(rig.source).state == "sealed", "the seal")
        busy = move_writer(rig.source, rig.target, replication=replication, limits=Limits(engine_lock_seconds=0.2))
        assert busy.result == "refused"
        for name in ("source", "target"):  # what an operator does with a host that hangs
            rig.query(
                name,
                "select pg_terminate_backend(pid, 1000) from pg_stat_activity where application_name like %s",
                f"pm move@%:{child.pid}",
            )
        assert move(rig, replication, "forward").result == "moved"
        os.kill(child.pid, signal.SIGCONT)
        output, _ = child.communicate(timeout=CHILD_SECONDS)
        assert rig.writer() == "target", output.decode()
        assert move(rig, replication, "back").result == "moved"
    audit(rig, load)
    assert PASSWORD not in output.decode()
