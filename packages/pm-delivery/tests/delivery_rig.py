"""A small workspace under Git with two packages, one of which needs the other, to release for real."""

import subprocess
from pathlib import Path

from uv import find_uv_bin

from pm_delivery.release import Bump, release
from pm_delivery.release.git import git

REPOSITORY = Path(__file__).parents[3]
ROOT_PROJECT = """
[project]
name = "root"
version = "0"
requires-python = ">=3.11"
[tool.uv]
package = false
build-constraint-dependencies = ["{backend}"]
[tool.uv.workspace]
members = ["packages/*"]
"""
MEMBER = """
[project]
name = "{name}"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = [{dependencies}]
[build-system]
requires = ["hatchling>=1.27,<2"]
build-backend = "hatchling.build"
[tool.hatch.build.targets.wheel]
packages = ["src/{module}"]
"""


class SmallWorkspace:
    """``pm-base`` and ``pm-top``, which needs it.

    Args:
        directory: Empty.
    """

    def __init__(self, directory: Path) -> None:
        self.root = directory / "repository"
        self.index = directory / "index"
        self.root.mkdir()
        own = (REPOSITORY / "pyproject.toml").read_text()
        backend = own.partition('build-constraint-dependencies = ["')[2].partition('"')[0]
        towncrier = "[tool.towncrier]" + own.partition("[tool.towncrier]")[2].partition("[tool.ruff]")[0]
        self.write("pyproject.toml", ROOT_PROJECT.format(backend=backend) + towncrier)
        self.write(".gitignore", "*.pyc\n")
        self.member("pm-base")
        self.member("pm-top", '"pm-base>=0.1,<0.2"', "[tool.uv.sources]\npm-base = { workspace = true }\n")
        subprocess.run([find_uv_bin(), "lock", "--quiet"], cwd=self.root, check=True)
        git(self.root, "init", "--quiet", "--initial-branch", "main")
        for key, value in (("user.name", "tester"), ("user.email", "tester@localhost"), ("commit.gpgsign", "false")):
            git(self.root, "config", key, value)
        self.commit("Begin")

    def member(self, name: str, dependencies: str = "", more: str = "") -> None:
        module = name.replace("-", "_")
        project = MEMBER.format(name=name, module=module, dependencies=dependencies)
        self.write(f"packages/{name}/pyproject.toml", project + more)
        self.write(f"packages/{name}/src/{module}/__init__.py", "VALUE = 1\n")
        self.write(f"packages/{name}/changelog.d/+first.added.md", f"{name} begins.\n")

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def replace(self, path: str, old: str, new: str) -> None:
        text = (self.root / path).read_text()
        assert old in text
        self.write(path, text.replace(old, new))

    def change(self, name: str, value: int) -> None:
        """A change of a package's code, with its fragment."""
        module = name.replace("-", "_")
        self.write(f"packages/{name}/src/{module}/__init__.py", f"VALUE = {value}\n")
        self.write(f"packages/{name}/changelog.d/+{value}.changed.md", f"{name} says {value}.\n")
        self.commit(f"Say {value}")

    def commit(self, subject: str) -> None:
        git(self.root, "add", "--all")
        git(self.root, "commit", "--quiet", "--message", subject)

    def release(self, name: str, bump: Bump, *, dry_run: bool = False) -> None:
        release(self.root, name, bump, output=self.index, dry_run=dry_run, untested=True)

    def state(self) -> tuple[str, str, str]:
        """Everything that a release may change."""
        return git(self.root, "rev-parse", "HEAD"), git(self.root, "status", "--porcelain"), git(self.root, "tag")
