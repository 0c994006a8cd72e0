"""`python -m pm_cutover` is `pm`."""

from pm_cutover.cli import main

if __name__ == "__main__":
    main()
