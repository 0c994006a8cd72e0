"""Nothing outlives a rehearsal, however it ends."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

from rehearsals import STEP_SECONDS, Rehearsal, nothing_survives


def test_kill_9_under_load_leaves_no_process(start: Callable[..., Rehearsal]) -> None:
    rehearsal = start("--history", "1000")
    rehearsal.until("without a migration")
    assert any("postgres" in line for line in rehearsal.survivors())
    assert any("pm_payments" in line for line in rehearsal.survivors())
    rehearsal.process.kill()
    nothing_survives(rehearsal)


def test_kill_9_during_the_synthesis_leaves_no_process(start: Callable[..., Rehearsal]) -> None:
    rehearsal = start()
    deadline = time.monotonic() + STEP_SECONDS
    while not any(line.startswith("python -m pm_stacks") for line in rehearsal.survivors()):
        assert rehearsal.process.poll() is None, "\n".join(rehearsal.lines)
        assert time.monotonic() < deadline
        rehearsal.look()
        time.sleep(0.1)
    rehearsal.look()
    rehearsal.process.kill()
    # The app would end by itself, but not that soon.
    nothing_survives(rehearsal, seconds=3.0)


def test_ctrl_c_during_the_deployment_leaves_no_process(start: Callable[..., Rehearsal], tmp_path: Path) -> None:
    rehearsal = start()
    rehearsal.until("ok deploy the registries")
    log = tmp_path / "work" / "cdk.log"
    deadline = time.monotonic() + STEP_SECONDS
    while "AWS::RDS::DBInstance" not in log.read_text():  # servers are starting
        assert time.monotonic() < deadline
        time.sleep(0.1)
    rehearsal.look()
    rehearsal.process.send_signal(signal.SIGINT)
    assert rehearsal.process.wait(60) == 130, "\n".join(rehearsal.lines)
    assert any("interrupted: everything that was started is stopped" in line for line in rehearsal.lines)
    assert not any("Traceback" in line for line in rehearsal.lines)
    nothing_survives(rehearsal)
    assert list(rehearsal.temporary.glob("pm-embedded-*")) == []
