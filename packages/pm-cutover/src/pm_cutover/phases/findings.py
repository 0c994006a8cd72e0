"""What a check found, and what to do about it."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "blocker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check.

    Attributes:
        id: Stable name of the check, for example ``source.wal-level``.
        level: ``blocker`` stops `pm replicate`.
        finding: What was found.
        fix: What to do; empty when it is ok.
    """

    id: str
    level: Level
    finding: str
    fix: str = ""


def ok(check: str, finding: str) -> Finding:
    """Nothing to do."""
    return Finding(id=check, level="ok", finding=finding)


def warning(check: str, finding: str, fix: str) -> Finding:
    """To be known, does not stop anything."""
    return Finding(id=check, level="warning", finding=finding, fix=fix)


def blocker(check: str, finding: str, fix: str) -> Finding:
    """Replication would fail, or lose something."""
    return Finding(id=check, level="blocker", finding=finding, fix=fix)
