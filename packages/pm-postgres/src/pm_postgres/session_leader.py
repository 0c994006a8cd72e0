"""Runs a command, and kills whatever that started when told to end; :func:`pm_postgres.spawn` starts this script."""

import os
import signal
import subprocess
import sys
from types import FrameType


def _kill_session(_number: int, _frame: FrameType | None) -> None:
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _kill_session)
    code = subprocess.call(sys.argv[1:])
    sys.exit(code if code >= 0 else 128 - code)  # as shells tell of a signal
