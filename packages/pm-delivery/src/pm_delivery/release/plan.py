"""What a release would do, and everything that speaks against it, before anything is changed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.utils import canonicalize_name

from pm_delivery.release import changelog, contracts
from pm_delivery.release.git import changed_since, git, tag_exists
from pm_delivery.release.versions import next_version
from pm_delivery.workspace import Member, Workspace

Bump = Literal["major", "minor", "patch", "first"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One release.

    Attributes:
        member: The package as it is.
        bump: Which part of the version is raised; ``first`` none.
        version: What it is released as.
        notes: The section of its changelog.
        allowed: Dependants whose range takes the new version.
        problems: What must be mended before, one line each.
    """

    member: Member
    bump: Bump
    version: str
    notes: str
    allowed: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def tag(self) -> str:
        """The Git tag."""
        return tag_of(self.member.name, self.version)

    @property
    def text(self) -> str:
        """For a person: steps, notes, problems."""
        name, path = self.member.name, self.member.path
        version = (
            f"version {self.version} as it is" if self.bump == "first" else f"{self.member.version} -> {self.version}"
        )
        steps = [
            f"tests: nox -s tests-{name}",
            f"{version} in {path}/pyproject.toml and uv.lock",
            f"{path}/{changelog.FILE}: the section below; its fragments go",
            f"commit and tag {self.tag}",
            f"sdist and wheel of {self.tag}",
        ]
        if name == contracts.PACKAGE:
            steps.insert(3, f"{path}/{contracts.RELEASED}: the contracts as released")
        lines = [
            f"{name} {self.version}",
            "",
            *(f"  {number}. {step}" for number, step in enumerate(steps, start=1)),
            "",
        ]
        lines += [f"  {line}" for line in self.notes.splitlines()]
        lines += ["", f"ranges of {', '.join(self.allowed) or 'no other package'} allow it"]
        lines += [f"problem: {problem}" for problem in self.problems]
        return "\n".join(lines)


def tag_of(package: str, version: str) -> str:
    """The tag of one release, for example ``pm-data-v0.2.0``."""
    return f"{package}-v{version}"


def make_plan(root: Path, package: str, bump: Bump) -> Plan:
    """Look at everything; nothing is changed.

    Raises:
        UsageError: There is no such package.
        DeliveryError: Git, uv or towncrier failed.
    """
    workspace = Workspace.read(root)
    member = workspace.member(package)
    version = member.version if bump == "first" else next_version(root, package, bump)
    waiting = changelog.fragments(root, member)
    allowed, excluded = _dependants(workspace, package, version)
    found = [*_git_problems(root, member, version)]
    if not waiting:
        found.append(f"nothing to release: no fragment in {member.path}/{changelog.FRAGMENTS}")
    found += excluded
    found += _unreleased(root, workspace, member)
    if package == contracts.PACKAGE:
        found += contracts.problems(root, member.path, patch=bump == "patch")
    return Plan(
        member=member,
        bump=bump,
        version=version,
        notes=changelog.draft(root, member, version) if waiting else "",
        allowed=allowed,
        problems=tuple(found),
    )


def _git_problems(root: Path, member: Member, version: str) -> list[str]:
    found = []
    if git(root, "status", "--porcelain"):
        found.append("the working tree has changes: commit or stash them, a release holds what is committed")
    if tag_exists(root, tag_of(member.name, version)):
        found.append(f"{member.name} {version} is released already: raise a part of the version (major, minor, patch)")
    return found


def _dependants(workspace: Workspace, package: str, version: str) -> tuple[tuple[str, ...], list[str]]:
    """Those whose range takes the version, and a problem for each of the others."""
    ranges = workspace.dependants(package)
    excluded = [
        f"{name} needs {requirement}, which excludes {version}: widen the range in "
        f"{workspace.members[name].path}/pyproject.toml, with a changelog fragment"
        for name, requirement in ranges.items()
        if not requirement.specifier.contains(version)
    ]
    return tuple(name for name, requirement in ranges.items() if requirement.specifier.contains(version)), excluded


def _unreleased(root: Path, workspace: Workspace, member: Member) -> list[str]:
    """A wheel must not need code of another package that nobody can install."""
    found = []
    for requirement in member.requirements:
        needed = workspace.members.get(canonicalize_name(requirement.name))
        if needed is None:
            continue
        tag = tag_of(needed.name, needed.version)
        if not tag_exists(root, tag):
            found.append(f"it needs {needed.name} {needed.version}, which is not released: release that first")
        elif changed_since(root, tag, needed.path / "src"):
            found.append(f"it needs {needed.name}, which has changed since {tag}: release that first")
    return sorted(set(found))
