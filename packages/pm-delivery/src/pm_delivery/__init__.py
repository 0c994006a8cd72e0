"""Single stacks deployed, rolled back and destroyed; single packages released. Used through nox (noxfile.py)."""
