"""Which package versions a stack was made from: told by the stack itself, in an SSM parameter.

The parameter ``/pm/<suffix>/<environment>/<tier>/build`` is one of the stack's resources. SSM keeps its earlier values,
so the deployments of a stack are on record where they were made, and go with the stack.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from pm_core.contracts import parameter_prefix

# Local version label (PEP 440) of a package that was used from a working tree: no release, so not to be had again.
FROM_TREE = "tree"


class BuildError(ValueError):
    """A build parameter does not hold a build."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What one deployment of a stack was made from.

    Attributes:
        package: The tier's package.
        versions: Version of every package that decides what the template says, the tier's own among them.
    """

    package: str
    versions: Mapping[str, str]

    @staticmethod
    def path(suffix: str, environment: str, tier: str) -> str:
        """The parameter of one stack."""
        return f"{parameter_prefix(suffix)}{environment}/{tier}/build"

    @classmethod
    def parse(cls, text: str) -> Self:
        """From the parameter's value.

        Raises:
            BuildError: It is not the JSON object that ``text`` makes.
        """
        try:
            package, versions = json.loads(text)["package"], json.loads(text)["versions"]
            return cls(package=str(package), versions={str(name): str(version) for name, version in versions.items()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BuildError(f"{text[:200]!r} says nothing of package versions ({error!r})") from None

    @property
    def text(self) -> str:
        """The parameter's value: JSON, the same for the same build."""
        return json.dumps({"package": self.package, "versions": dict(sorted(self.versions.items()))})

    @property
    def version(self) -> str:
        """Version of the tier's package."""
        return self.versions[self.package]

    @property
    def released(self) -> bool:
        """Whether every package is a release, so that the same can be installed again."""
        return not self.from_tree

    @property
    def from_tree(self) -> tuple[str, ...]:
        """The packages that were used from a working tree."""
        return tuple(sorted(name for name, version in self.versions.items() if version.endswith(f"+{FROM_TREE}")))


def deployments(history: Iterable[Build]) -> tuple[Build, ...]:
    """The deployments that led to the present one, oldest first; the last one is the present one.

    Going back to the build before, by a rollback or because an update failed, takes the newer one off the list: a
    second rollback goes back further and not forth again.

    Args:
        history: Every value that the parameter had, oldest first.
    """
    standing: list[Build] = []
    for build in history:
        if standing and build == standing[-1]:
            continue
        if len(standing) > 1 and build == standing[-2]:
            standing.pop()
        else:
            standing.append(build)
    return tuple(standing)
