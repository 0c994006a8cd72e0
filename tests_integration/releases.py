"""A copy of the repository in which releases are made, for the tests of deliveries."""

import shutil
from pathlib import Path

from packaging.version import Version

from pm_delivery.release import release
from pm_delivery.release.build import build_at
from pm_delivery.release.git import git
from pm_delivery.workspace import Workspace


class ReleasingRepository:
    """The working tree as it is, under a Git of its own.

    Args:
        project: The repository.
        directory: Gets the copy, and the index that releases go to.
    """

    def __init__(self, project: Path, directory: Path) -> None:
        self._project = project
        self.root = directory / "repository"
        self.index = directory / "index"
        listed = git(project, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
        for name in filter(None, listed.split("\0")):
            if (project / name).is_file():  # not one that was deleted
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(project / name, self.root / name)
        git(self.root, "init", "--quiet", "--initial-branch", "main")
        for key, value in (("user.name", "tester"), ("user.email", "tester@localhost"), ("commit.gpgsign", "false")):
            git(self.root, "config", key, value)
        for member in Workspace.read(self.root).members.values():
            self._fragment(member.name, "Released for a test.")
        self.commit("Begin")

    def needed_by(self, *names: str) -> list[str]:
        """The packages and all of ours that they need, each after what it needs itself."""
        workspace = Workspace.read(self.root)
        needed = {one for name in names for one in workspace.needs(name)}
        ordered: list[str] = []
        while left := needed - set(ordered):
            ordered += sorted(one for one in left if set(workspace.needs(one)[1:]) <= set(ordered))
        return ordered

    def last_releases(self, *names: str) -> None:
        """Put the last releases of the packages, and of all of ours that they need, into the index.

        A package that has no tag yet is released here, as it is.
        """
        for name in self.needed_by(*names):
            tags = git(self._project, "tag", "--list", f"{name}-v*").split()
            if tags:
                newest = max(tags, key=lambda tag: Version(tag.rpartition("-v")[2]))
                build_at(self._project, newest, name, self.index)
                git(self.root, "tag", newest)
            else:
                release(self.root, name, "first", output=self.index, dry_run=False, untested=True)

    def release_minor(self, name: str, file: str, old: str, new: str) -> str:
        """Change a package's code and release it; the new version."""
        self.edit(file, old, new)
        self._fragment(name, f"{new} instead of {old}.")
        self.commit("Change something that shows")
        release(self.root, name, "minor", output=self.index, dry_run=False, untested=True)
        return Workspace.read(self.root).members[name].version

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace the one place that says ``old``."""
        text = (self.root / file).read_text()
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {file}"
        (self.root / file).write_text(text.replace(old, new))

    def commit(self, subject: str) -> None:
        """Everything that changed."""
        git(self.root, "add", "--all")
        git(self.root, "commit", "--quiet", "--message", subject)

    def source_path(self) -> list[str]:
        """Directories that put the copy's packages before those that are installed."""
        return [str(self.root / member.path / "src") for member in Workspace.read(self.root).members.values()]

    def _fragment(self, name: str, text: str) -> None:
        path = self.root / Workspace.read(self.root).members[name].path / "changelog.d"
        path.mkdir(exist_ok=True)
        (path / "+test.changed.md").write_text(f"{text}\n")
