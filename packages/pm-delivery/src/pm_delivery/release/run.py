"""Carry a plan out: tests, then one commit that is made aside and taken over whole, a tag, and the files."""

import os
import subprocess
import sys
from pathlib import Path

from pm_delivery.errors import DeliveryError, RefusedError
from pm_delivery.release import changelog, contracts
from pm_delivery.release.build import build_at
from pm_delivery.release.git import git, scratch_checkout, tag_exists
from pm_delivery.release.plan import Bump, Plan, make_plan, tag_of
from pm_delivery.release.versions import raise_version
from pm_delivery.workspace import Member, Workspace
from pm_postgres import kill_session, spawn

_TEST_SECONDS = 3600


def release(root: Path, package: str, bump: Bump, *, output: Path, dry_run: bool, untested: bool) -> None:
    """Release one package.

    The commit is made in a checkout of its own, so that a release that is killed, or refused half-way, leaves the
    branch and the working tree as they were. One that was killed between commit and tag goes on with the tag.

    Args:
        root: The repository.
        package: Which package.
        bump: Which part of its version.
        output: Directory for sdist and wheel.
        dry_run: Only print the plan.
        untested: Do not run the package's tests.

    Raises:
        RefusedError: Something speaks against it; all of it is printed with the plan.
        DeliveryError: A tool failed.
    """
    member = Workspace.read(root).member(package)
    if _lacks_tag(root, member):
        print(f"the release of {package} {member.version} was interrupted after its commit, before its tag")
        if not dry_run:
            _tag_and_build(root, member, member.version, "HEAD", output)
        return
    plan = make_plan(root, package, bump)
    print(plan.text)
    if plan.problems:
        raise RefusedError(f"{package} is not released: what speaks against it is said above")
    if dry_run:
        print("dry run: nothing was changed")
        return
    if not untested:
        _test(root, package)
    commit = _commit(root, plan)
    git(root, "merge", "--quiet", "--ff-only", commit)
    _tag_and_build(root, member, plan.version, commit, output)


def _lacks_tag(root: Path, member: Member) -> bool:
    """Whether HEAD is the commit of a release whose tag was never made."""
    return git(root, "log", "-1", "--format=%s") == _subject(member, member.version) and not tag_exists(
        root, tag_of(member.name, member.version)
    )


def _tag_and_build(root: Path, member: Member, version: str, revision: str, output: Path) -> None:
    tag = tag_of(member.name, version)
    git(root, "tag", "--annotate", "--message", f"{member.name} {version}", tag, revision)
    print(f"committed {git(root, 'rev-parse', '--short', revision)} and tagged {tag}")
    for name, digest in build_at(root, tag, member.name, output).items():
        print(f"{digest}  {output / name}")
    print(f"next: `git push origin HEAD {tag}`, and put the files into your index")


def _subject(member: Member, version: str) -> str:
    return f"Release {member.name} {version}"


def _test(root: Path, package: str) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    command = [sys.executable, "-m", "nox", "--session", f"tests-{package}"]
    process = spawn(command, cwd=root, env={**os.environ, "PATH": path}, descendants=True)
    try:
        code = process.wait(_TEST_SECONDS)
    except subprocess.TimeoutExpired:
        raise DeliveryError(
            f"the tests of {package} took longer than {_TEST_SECONDS} s: nothing was released"
        ) from None
    finally:
        kill_session(process)
    if code:
        raise DeliveryError(f"the tests of {package} failed: nothing was released")


def _commit(root: Path, plan: Plan) -> str:
    """The commit of the release, on top of HEAD and on no branch yet."""
    member = plan.member
    with scratch_checkout(root, "HEAD") as tree:
        if plan.bump != "first":
            raise_version(tree, member.name, plan.version)
        changelog.build(tree, member, plan.version)
        if member.name == contracts.PACKAGE:
            contracts.write(tree, member.path)
        git(tree, "add", "--all")
        git(tree, "commit", "--quiet", "--message", _subject(member, plan.version))
        return git(tree, "rev-parse", "HEAD")
