"""Where released packages are: a directory of wheels, or a package index."""

import json
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from pm_delivery.errors import UsageError

NAME = "released"
"""How uv knows the index: credentials go into UV_INDEX_RELEASED_USERNAME and UV_INDEX_RELEASED_PASSWORD."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """One place with releases.

    Attributes:
        location: A directory, or the URL of an index that speaks the simple API.
    """

    location: str

    @property
    def directory(self) -> Path | None:
        """The directory; None for an index behind a URL."""
        return None if "://" in self.location else Path(self.location).resolve()

    @property
    def toml(self) -> str:
        """The index in a pyproject.toml of uv.

        Explicit, so that nothing but the packages that name it comes from there, and those from nowhere else: a
        stranger's package of the same name in a public index is never taken.
        """
        lines = ["[[tool.uv.index]]", f'name = "{NAME}"', "explicit = true"]
        if self.directory is None:
            return "\n".join([*lines, f"url = {json.dumps(self.location)}"])
        return "\n".join([*lines, f"url = {json.dumps(str(self.directory))}", 'format = "flat"'])

    def check(self, package: str, version: str) -> None:
        """See that a release is there; one behind a URL is only found missing when it is installed.

        Raises:
            UsageError: It is not; the message lists the versions that are.
        """
        if self.directory is None:
            return
        versions = sorted(self._versions(package, self.directory))
        if Version(version) not in versions:
            known = ", ".join(map(str, versions)) or "none"
            raise UsageError(
                f"{package} {version} is not in {self.directory} (there: {known}): give another --version or --index, "
                f"or release it with `nox -s release -- {package}`"
            )

    @staticmethod
    def _versions(package: str, directory: Path) -> set[Version]:
        found = set()
        for file in directory.glob("*.whl"):
            try:
                name, version, _, _ = parse_wheel_filename(file.name)
            except InvalidWheelFilename:
                continue  # somebody else's file
            if name == canonicalize_name(package):
                found.add(version)
        return found
