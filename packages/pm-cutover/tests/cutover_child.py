"""Moves the writer in a process of its own and, at one step, does to itself what the parent asks for.

Arguments: the ports of source and target, the direction (``forward`` or ``back``), a step, ``before`` or ``after``, and
a signal's name, ``SIGKILL`` or ``SIGSTOP``. Prints the outcome's result and reason.
"""

import os
import signal
import sys

from cutover_rig import NativeReplication, Rig

from pm_cutover.protocol import Limits, Moment, move_writer


def main() -> None:
    source_port, target_port, direction, step, moment, signal_name = sys.argv[1:]
    rig = Rig(int(source_port), int(target_port))
    a, b = (rig.source, rig.target) if direction == "forward" else (rig.target, rig.source)

    def observe(name: str, when: Moment) -> None:
        if (name, when) == (step, moment):
            os.kill(os.getpid(), signal.Signals[signal_name])

    outcome = move_writer(a, b, replication=NativeReplication(rig), limits=Limits(), observer=observe)
    print(outcome.result, outcome.reason)


if __name__ == "__main__":
    main()
