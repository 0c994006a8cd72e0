"""`python -m pm_delivery`, which the sessions of noxfile.py call."""

from pm_delivery.cli import main

if __name__ == "__main__":
    main()
