"""`pm` that is told to end: Ctrl-C, and SIGTERM, with which ECS stops a task."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pm_cutover.interruption import Interruption, sigterm_as_ctrl_c

SECONDS = 30.0


@pytest.fixture
def waiting() -> Iterator[subprocess.Popen[str]]:
    """A `pm` that waits for an AWS that does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(SECONDS)
        environment = {
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "NO_PROXY": "127.0.0.1",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "pm_cutover", "status", "--suffix", "blue"],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            connection, _ = silent.accept()
            with connection:
                yield process
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_sigterm_ends_pm_as_ctrl_c_does(waiting: subprocess.Popen[str], number: signal.Signals) -> None:
    waiting.send_signal(number)
    out, err = waiting.communicate(timeout=SECONDS)
    assert waiting.returncode == 130
    assert err == "pm: interrupted; run the same command again to go on\n"
    assert out == ""


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with sigterm_as_ctrl_c(), Interruption():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_the_first_signal_is_noted_and_the_second_one_interrupts() -> None:
    with Interruption() as interruption:
        assert not interruption.asked
        signal.raise_signal(signal.SIGINT)
        assert interruption.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
