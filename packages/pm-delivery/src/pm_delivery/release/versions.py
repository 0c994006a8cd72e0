"""Version numbers, raised by uv."""

import os
from pathlib import Path

from uv import find_uv_bin

from pm_delivery.tools import output_of


def next_version(root: Path, package: str, part: str) -> str:
    """What a package's version would become; nothing is changed.

    Args:
        root: The workspace.
        package: The package.
        part: major, minor or patch.
    """
    return _uv_version(root, package, "--bump", part, "--dry-run", "--frozen")


def raise_version(root: Path, package: str, version: str) -> None:
    """Write a version into the package's pyproject.toml and into the lock.

    Raises:
        ToolError: uv refused, for example because a dependant's range does not allow this version.
    """
    _uv_version(root, package, version, "--no-sync")


def _uv_version(root: Path, package: str, *arguments: str) -> str:
    return output_of(
        "uv version",
        [find_uv_bin(), "version", "--short", "--package", package, *arguments],
        directory=root,
        environment={key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"},
    )
