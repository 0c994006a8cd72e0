"""Environments with releases, installed by the real uv from a directory of wheels."""

import json
import subprocess
from pathlib import Path

import pytest
from delivery_rig import SmallWorkspace

from pm_delivery.errors import UsageError
from pm_delivery.index import Index
from pm_delivery.released import InstallError, check_origins, released_python

OURS = ("pm-top", "pm-base")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallWorkspace:
    """pm-base 0.1.0 and 0.1.1, pm-top 0.1.0."""
    workspace = SmallWorkspace(tmp_path_factory.mktemp("releases"))
    workspace.release("pm-base", "first")
    workspace.release("pm-top", "first")
    workspace.change("pm-base", 2)
    workspace.release("pm-base", "patch")
    return workspace


def value(python: Path) -> int:
    code = "import json, pm_base, pm_top; print(json.dumps(pm_base.VALUE))"
    ended = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    return int(json.loads(ended.stdout))


def test_an_old_release_is_installed_beside_the_newest_of_the_others(small: SmallWorkspace) -> None:
    index = Index(location=str(small.index))
    with released_python({"pm-base": "0.1.0"}, OURS, index) as python:
        assert value(python) == 1
    with released_python({"pm-top": "0.1.0"}, OURS, index) as python:
        assert value(python) == 2
    assert not python.exists()


def test_releases_that_do_not_fit_together_are_explained(small: SmallWorkspace) -> None:
    with pytest.raises(InstallError, match=r"pm-base 0\.2\.0 cannot be installed from"):
        with released_python({"pm-base": "0.2.0"}, OURS, Index(location=str(small.index))):
            pass


def test_a_package_that_is_no_member_is_not_taken_from_a_public_index(small: SmallWorkspace, tmp_path: Path) -> None:
    index = Index(location=str(small.index))
    with pytest.raises(InstallError, match="pm-base"):
        with released_python({"pm-top": "0.1.0"}, ("pm-top",), index):
            pass


def test_a_version_that_is_not_there_is_named_with_those_that_are(small: SmallWorkspace) -> None:
    index = Index(location=str(small.index))
    index.check("pm-base", "0.1.1")
    with pytest.raises(UsageError, match=r"pm-base 9\.9 is not in .*\(there: 0\.1\.0, 0\.1\.1\)"):
        index.check("pm-base", "9.9")


def test_an_index_behind_a_url_is_asked_when_it_is_installed_from() -> None:
    index = Index(location="https://index.acme.test/simple")
    index.check("pm-base", "9.9")
    assert 'url = "https://index.acme.test/simple"' in index.toml
    assert "flat" not in index.toml


def test_no_package_of_our_names_may_come_from_elsewhere(tmp_path: Path) -> None:
    lock = tmp_path / "uv.lock"
    lock.write_text('[[package]]\nname = "pm-top"\n[[package]]\nname = "pm-forged"\n[[package]]\nname = "boto3"\n')
    with pytest.raises(InstallError, match="pm-forged would come from a public index"):
        check_origins(lock, ["pm-top"])
