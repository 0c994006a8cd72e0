"""``python -m pm_rehearsal.cloud.balancer``: see process.py."""

from pm_rehearsal.cloud.balancer.process import main

if __name__ == "__main__":
    main()
