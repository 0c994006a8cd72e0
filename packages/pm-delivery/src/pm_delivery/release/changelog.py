"""Changelogs: fragments beside each package, put together by towncrier with the workspace's one configuration."""

import sys
from pathlib import Path

from pm_delivery.tools import output_of
from pm_delivery.workspace import Member

FRAGMENTS = "changelog.d"
FILE = "CHANGELOG.md"


def fragments(root: Path, member: Member) -> tuple[str, ...]:
    """Names of the changes that were not released yet."""
    return tuple(sorted(file.name for file in (root / member.path / FRAGMENTS).glob("*.md")))


def draft(root: Path, member: Member, version: str) -> str:
    """The section that a release would add.

    Raises:
        DeliveryError: A fragment's name is of no known kind.
    """
    return _towncrier(root, member, version, "--draft")


def build(root: Path, member: Member, version: str) -> None:
    """Add the section to the changelog, and take the fragments away; both are staged.

    Raises:
        DeliveryError: As above.
    """
    file = root / member.path / FILE
    if not file.exists():
        file.write_text(f"# Changes of {member.name}\n\n<!-- towncrier release notes start -->\n")
    _towncrier(root, member, version, "--yes")


def _towncrier(root: Path, member: Member, version: str, *options: str) -> str:
    command = [
        *(sys.executable, "-m", "towncrier", "build", *options),
        *("--config", str(root / "pyproject.toml"), "--dir", str(root / member.path)),
        *("--version", version, "--name", member.name),
    ]
    return output_of("towncrier", command, directory=root)
