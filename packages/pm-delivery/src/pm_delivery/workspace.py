"""The packages of the workspace, as their pyproject.toml files say."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pm_delivery.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One package.

    Attributes:
        name: Its distribution's name.
        path: Its directory, relative to the workspace.
        version: As written in its pyproject.toml.
        requirements: What it needs at run time, extras included.
    """

    name: str
    path: Path
    version: str
    requirements: tuple[Requirement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """All packages of one checkout.

    Attributes:
        root: The checkout.
        members: By name, in alphabetical order.
    """

    root: Path
    members: Mapping[str, Member]

    @classmethod
    def read(cls, root: Path) -> Self:
        """Read every member's pyproject.toml."""
        patterns = _document(root)["tool"]["uv"]["workspace"]["members"]
        files = sorted(file for pattern in patterns for file in root.glob(f"{pattern}/pyproject.toml"))
        members = [_member(root, file.parent) for file in files]
        return cls(root=root, members={member.name: member for member in sorted(members, key=lambda one: one.name)})

    def member(self, name: str) -> Member:
        """One package.

        Raises:
            UsageError: There is no such package; the message lists those that exist.
        """
        if name not in self.members:
            raise UsageError(f"no package {name!r}: use one of {', '.join(self.members)}")
        return self.members[name]

    def needs(self, name: str) -> tuple[str, ...]:
        """The members that a package needs at run time, directly or through others, itself first."""
        found = [name]
        for member in found:
            for requirement in self.members[member].requirements:
                needed = canonicalize_name(requirement.name)
                if needed in self.members and needed not in found:
                    found.append(needed)
        return tuple(found)

    def dependants(self, name: str) -> dict[str, Requirement]:
        """Who requires a package, and how."""
        return {
            member.name: requirement
            for member in self.members.values()
            for requirement in member.requirements
            if canonicalize_name(requirement.name) == name
        }


def _document(directory: Path) -> dict[str, Any]:
    return tomllib.loads((directory / "pyproject.toml").read_text())


def _member(root: Path, directory: Path) -> Member:
    project = _document(directory)["project"]
    extras = project.get("optional-dependencies", {}).values()
    texts = [*project.get("dependencies", ()), *(text for extra in extras for text in extra)]
    return Member(
        name=str(canonicalize_name(project["name"])),
        path=directory.relative_to(root),
        version=project["version"],
        requirements=tuple(Requirement(text) for text in texts),
    )
