"""Releases of a small workspace, by the real Git, uv, towncrier and build backend."""

import hashlib
import os
import tomllib
import zipfile
from pathlib import Path

import pytest
from delivery_rig import SmallWorkspace

from pm_delivery.errors import DeliveryError, RefusedError
from pm_delivery.release.build import build_at
from pm_delivery.release.git import git


@pytest.fixture
def small(tmp_path: Path) -> SmallWorkspace:
    return SmallWorkspace(tmp_path)


def test_a_first_release_tags_the_version_that_is_written_down(small: SmallWorkspace) -> None:
    small.release("pm-base", "first")
    _, status, tags = small.state()
    assert (status, tags) == ("", "pm-base-v0.1.0")
    assert {file.name for file in small.index.iterdir()} == {"pm_base-0.1.0-py3-none-any.whl", "pm_base-0.1.0.tar.gz"}
    changelog = (small.root / "packages/pm-base/CHANGELOG.md").read_text()
    assert changelog.startswith("# Changes of pm-base\n")
    assert "## 0.1.0 (" in changelog
    assert "pm-base begins." in changelog
    assert not list((small.root / "packages/pm-base/changelog.d").glob("*.md"))
    assert git(small.root, "log", "-1", "--format=%s") == "Release pm-base 0.1.0"


def test_the_second_run_refuses(small: SmallWorkspace, capsys: pytest.CaptureFixture[str]) -> None:
    small.release("pm-base", "first")
    before = small.state()
    with pytest.raises(RefusedError):
        small.release("pm-base", "first")
    said = capsys.readouterr().out
    assert "pm-base 0.1.0 is released already" in said
    assert "nothing to release: no fragment in packages/pm-base/changelog.d" in said
    assert small.state() == before


def test_a_minor_release_raises_the_version_everywhere(small: SmallWorkspace) -> None:
    small.release("pm-base", "first")
    small.replace("packages/pm-top/pyproject.toml", "pm-base>=0.1,<0.2", "pm-base>=0.1,<0.3")
    small.change("pm-base", 2)
    small.release("pm-base", "minor")
    project = tomllib.loads((small.root / "packages/pm-base/pyproject.toml").read_text())["project"]
    lock = tomllib.loads((small.root / "uv.lock").read_text())["package"]
    assert project["version"] == "0.2.0"
    assert {package["version"] for package in lock if package["name"] == "pm-base"} == {"0.2.0"}
    changelog = (small.root / "packages/pm-base/CHANGELOG.md").read_text()
    assert changelog.index("## 0.2.0") < changelog.index("## 0.1.0")
    with zipfile.ZipFile(small.index / "pm_base-0.2.0-py3-none-any.whl") as wheel:
        assert wheel.read("pm_base/__init__.py") == b"VALUE = 2\n"


def test_a_dry_run_prints_the_plan_and_changes_nothing(
    small: SmallWorkspace, capsys: pytest.CaptureFixture[str]
) -> None:
    small.release("pm-base", "first")
    small.change("pm-base", 2)
    before = small.state()
    capsys.readouterr()
    small.release("pm-base", "patch", dry_run=True)
    said = capsys.readouterr().out
    for part in (
        "0.1.0 -> 0.1.1",
        "tests-pm-base",
        "pm-base says 2.",
        "pm-base-v0.1.1",
        "pm-top",
        "nothing was changed",
    ):
        assert part in said
    assert small.state() == before
    assert not (small.index / "pm_base-0.1.1-py3-none-any.whl").exists()


def test_a_dependant_whose_range_excludes_the_version_is_named(
    small: SmallWorkspace, capsys: pytest.CaptureFixture[str]
) -> None:
    small.release("pm-base", "first")
    small.change("pm-base", 2)
    with pytest.raises(RefusedError):
        small.release("pm-base", "minor")
    assert "pm-top needs pm-base<0.2,>=0.1, which excludes 0.2.0: widen the range" in capsys.readouterr().out


def test_what_a_package_needs_is_released_before_it(small: SmallWorkspace, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RefusedError):
        small.release("pm-top", "first")
    assert "needs pm-base 0.1.0, which is not released: release that first" in capsys.readouterr().out
    small.release("pm-base", "first")
    small.change("pm-base", 2)
    with pytest.raises(RefusedError):
        small.release("pm-top", "first")
    assert "needs pm-base, which has changed since pm-base-v0.1.0: release that first" in capsys.readouterr().out
    small.release("pm-base", "patch")
    small.release("pm-top", "first")


def test_changes_that_are_not_committed_are_no_release(
    small: SmallWorkspace, capsys: pytest.CaptureFixture[str]
) -> None:
    small.write("packages/pm-base/src/pm_base/forgotten.py", "")
    with pytest.raises(RefusedError):
        small.release("pm-base", "first")
    assert "the working tree has changes" in capsys.readouterr().out


def test_a_release_that_fails_half_way_leaves_everything_as_it_was(
    small: SmallWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.release("pm-base", "first")
    small.change("pm-base", 2)
    before = small.state()

    def broken(*_: object) -> None:
        raise DeliveryError("the disk is full")

    monkeypatch.setattr("pm_delivery.release.changelog.build", broken)  # after the version was raised
    with pytest.raises(DeliveryError, match="the disk is full"):
        small.release("pm-base", "patch")
    assert small.state() == before
    monkeypatch.undo()
    small.release("pm-base", "patch")


def test_a_release_that_is_killed_before_its_tag_goes_on_there(
    small: SmallWorkspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def killed(root: Path, *arguments: str) -> str:
        if arguments[0] == "tag" and "--annotate" in arguments:
            raise KeyboardInterrupt
        return git(root, *arguments)

    monkeypatch.setattr("pm_delivery.release.run.git", killed)
    with pytest.raises(KeyboardInterrupt):
        small.release("pm-base", "first")
    monkeypatch.undo()
    head, _, tags = small.state()
    assert tags == ""
    small.release("pm-base", "first", dry_run=True)
    assert "interrupted after its commit, before its tag" in capsys.readouterr().out
    assert small.state() == (head, "", "")
    small.release("pm-base", "first")
    assert small.state() == (head, "", "pm-base-v0.1.0")
    assert (small.index / "pm_base-0.1.0-py3-none-any.whl").exists()


def test_the_same_commit_gives_the_same_bytes(small: SmallWorkspace, tmp_path: Path) -> None:
    small.release("pm-base", "first")
    released = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in small.index.iterdir()}
    small.change("pm-base", 2)
    mask = os.umask(0o077)
    try:
        again = build_at(small.root, "pm-base-v0.1.0", "pm-base", tmp_path / "again")
    finally:
        os.umask(mask)
    assert again == released
