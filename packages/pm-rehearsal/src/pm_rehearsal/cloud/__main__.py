"""``python -m pm_rehearsal.cloud``: the embedded AWS as a process of its own."""

import sys

from pm_rehearsal.cloud.server import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
