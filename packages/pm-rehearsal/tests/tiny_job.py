"""A job of these tests, run as a task without a service: what it does is its first argument.

``say CODE LINES``: writes lines and ends. ``wait``: until SIGTERM, then ends with 130. ``where``: tells its working
directory and that of temporary files, after it has written to both. ``programs``: tells PM_POSTGRES_BIN.
"""

import os
import signal
import sys
import tempfile
from pathlib import Path


def main(what: str, *arguments: str) -> int:
    if what == "say":
        for number in range(int(arguments[1])):
            print("line", number, flush=True)
        print("no line end", end="", flush=True)
        return int(arguments[0])
    if what == "where":
        Path("file").write_text("")
        with tempfile.NamedTemporaryFile(delete=False) as file:
            print(Path.cwd(), Path(file.name).parent, flush=True)
        return 0
    if what == "programs":
        print(os.environ.get("PM_POSTGRES_BIN"), flush=True)
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    print("waiting", flush=True)
    signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
