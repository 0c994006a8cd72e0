"""One stack, or all of them: deployed from the working tree or from a release, rolled back, destroyed."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pm_core import Build, deployments, parameter_prefix
from pm_delivery.account import Account
from pm_delivery.assembly import Template, synthesize
from pm_delivery.cdk import run_cdk
from pm_delivery.checks import left_behind, producers, stack_of, taken_away, unmet, version_path
from pm_delivery.errors import RefusedError, UsageError
from pm_delivery.index import Index
from pm_delivery.project import Project
from pm_delivery.released import released_python
from pm_delivery.workspace import Workspace

if TYPE_CHECKING:
    from pm_stacks import StackEntry

EVERYTHING = "*"
Confirm = Callable[[str], None]
"""Returns when the person agrees, and raises ``RefusedError`` when not."""


def stack_entry(stack: str) -> StackEntry:
    """What is known of a stack.

    Raises:
        UsageError: There is no such stack; the message lists those that exist.
    """
    from pm_stacks import catalogue  # the CDK takes more than a second to import, which a release need not wait for

    known = catalogue()
    if stack not in known:
        what = f"no stack {stack!r}" if stack else "no stack named"
        raise UsageError(f"{what}: use one of {', '.join(sorted(known))}")
    return known[stack]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Deploys the stacks of one project.

    Attributes:
        project: The checkout and the settings.
        index: Where releases are.
        confirm: Asks the person before something changes.
    """

    project: Project
    index: Index
    confirm: Confirm

    def deploy(self, stack: str, *, version: str | None = None) -> None:
        """Deploy one stack.

        Args:
            stack: Its id.
            version: A released version of its package; None takes the working tree.

        Raises:
            RefusedError: What it reads is missing or of another version, or what others read of it would go.
            DeliveryError: The CDK CLI or AWS failed.
        """
        entry = stack_entry(stack)
        if version is None:
            self._deploy(entry, Path(sys.executable))
            return
        self.index.check(entry.package, version)
        with self._released(entry, {entry.package: version}) as python:
            self._deploy(entry, python)

    def deploy_all(self) -> None:
        """Deploy every stack from the working tree, each after what it needs."""
        with self._assembly(EVERYTHING, Path(sys.executable)) as (templates, directory):
            self._diff(directory, "--all")
            self.confirm(f"Deploy all {len(templates)} stacks?")
            self._cdk_deploy(directory, "--all")

    def history(self, stack: str) -> tuple[Build, ...]:
        """The deployments that led to the present one, oldest first."""
        entry = stack_entry(stack)
        settings = self.project.settings
        path = Build.path(settings.environment_suffix, entry.environment, entry.tier)
        region = entry.region(settings)
        return deployments(self._account.history(path, region=region))

    def roll_back(self, stack: str, *, version: str | None = None) -> None:
        """Put a stack back to what it was made from before; nothing else is touched.

        Args:
            stack: Its id.
            version: Back to the latest earlier deployment of this version of its package; None means the one before.

        Raises:
            RefusedError: There is no such deployment, or it was made from a working tree.
            DeliveryError: The CDK CLI or AWS failed.
        """
        entry = stack_entry(stack)
        build = self._earlier(entry, version)
        if not build.released:
            raise RefusedError(
                f"{stack} was made before from a working tree ({', '.join(build.from_tree)}), which no index has: "
                "give --version of a release, or check that tree out and run `nox -s deploy` there"
            )
        ours = Workspace.read(self.project.root).needs(_app_of(entry))
        for package, pinned in build.versions.items():
            if package in ours:
                self.index.check(package, pinned)
        print(f"{stack} goes back to {build.package} {build.version}")
        with self._released(entry, build.versions) as python:
            self._deploy(entry, python)

    def destroy(self, stack: str) -> None:
        """Destroy one stack, by CloudFormation itself: what cannot be synthesized any more can still be removed.

        Raises:
            RefusedError: It is not deployed, or other stacks stand in it.
            DeliveryError: The CDK CLI or AWS failed.
        """
        entry = stack_entry(stack)
        settings = self.project.settings
        name = entry.name(settings.environment_suffix)
        if not self._account.exists(name, region=entry.region(settings)):
            raise RefusedError(f"{name} is not deployed: nothing to destroy")
        prefix = f"{parameter_prefix(settings.environment_suffix)}{entry.environment}/{entry.tier}/"
        readers = ", ".join(sorted(reader.name for reader in self._account.readers(prefix, besides=name)))
        if readers and entry.tier == "network":
            raise RefusedError(
                f"{readers} stand in this network, which AWS keeps as long as they do: destroy them first"
            )
        if readers:
            print(f"{readers} read parameters of {stack}: they keep what they have, and work with it no longer")
        self.confirm(f"Destroy {name} and all that it holds?")
        self._account.delete(name, region=entry.region(settings))
        print(f"{name} is gone")

    def destroy_all(self) -> None:
        """Destroy every stack, each before what it needs."""
        with self._assembly(EVERYTHING, Path(sys.executable)) as (templates, directory):
            self.confirm(f"Destroy all {len(templates)} stacks, both databases included?")
            run_cdk(self.project.root, ["destroy", "--app", str(directory), "--all", "--force", "--concurrency", "4"])

    @property
    def _account(self) -> Account:
        return Account(region=self.project.settings.region)

    def _earlier(self, entry: StackEntry, version: str | None) -> Build:
        found = self.history(entry.id)
        if not found:
            raise RefusedError(f"{entry.id} is not deployed, so there is nothing to go back from")
        before = [build for build in found[:-1] if version in (None, build.version)]
        if before:
            return before[-1]
        known = ", ".join(build.version for build in found)
        raise RefusedError(
            f"{entry.id} has no earlier deployment{f' of version {version}' if version else ''} "
            f"(its versions, oldest first: {known}): `nox -s deploy -- {entry.id} --version X` deploys any release"
        )

    def _deploy(self, entry: StackEntry, python: Path) -> None:
        with self._assembly(entry.id, python) as ((template,), directory):
            account = self._account
            read = producers(template)
            paths = [*template.inputs, *(version_path(template.prefix, address) for address in read)]
            self._refuse(unmet(template, account.parameters(paths), absent=self._absent(template)))
            prefix = f"{template.prefix}{entry.environment}/{entry.tier}/"
            readers = account.readers(prefix, besides=template.name)
            self._refuse(taken_away(template, readers))
            for line in left_behind(template, readers):
                print(line)
            self._diff(directory, entry.id)
            self.confirm(f"Deploy {template.name}?")
            self._cdk_deploy(directory, "--exclusively", entry.id)

    def _absent(self, template: Template) -> list[str]:
        """The stacks that one needs without reading their parameters, and that are not deployed."""
        settings, known = self.project.settings, {stack_of(address) for address in producers(template)}
        unread = [stack_entry(one) for one in template.needs if one not in known]
        return [
            entry.id
            for entry in unread
            if not self._account.deployed(entry.name(settings.environment_suffix), region=entry.region(settings))
        ]

    def _diff(self, directory: Path, *stacks: str) -> None:
        everything = [] if stacks == ("--all",) else list(stacks)  # cdk diff knows no --all, and means it
        run_cdk(self.project.root, ["diff", "--app", str(directory), *everything])

    def _cdk_deploy(self, directory: Path, *stacks: str) -> None:
        run_cdk(
            self.project.root,
            [
                *("deploy", "--app", str(directory), "--require-approval", "never"),
                *("--progress", "events", "--concurrency", "4", *stacks),
            ],
        )

    @contextmanager
    def _released(self, entry: StackEntry, pins: Mapping[str, str]) -> Iterator[Path]:
        ours = Workspace.read(self.project.root).needs(_app_of(entry))
        with released_python(pins, ours, self.index) as python:
            yield python

    @contextmanager
    def _assembly(self, only: str, python: Path) -> Iterator[tuple[tuple[Template, ...], Path]]:
        with tempfile.TemporaryDirectory(prefix="pm-assembly-") as name:
            yield synthesize(self.project, only, python=python, directory=Path(name)), Path(name)

    @staticmethod
    def _refuse(problems: tuple[str, ...]) -> None:
        if problems:
            raise RefusedError("\n".join(problems))


def _app_of(entry: StackEntry) -> str:
    return f"pm-{entry.environment}-app"
