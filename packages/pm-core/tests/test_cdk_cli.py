from pathlib import Path

import pytest

from pm_core.cdk_cli import ProjectError, find_project


def test_the_project_is_found_from_below(tmp_path: Path):
    (tmp_path / "cdk.json").touch()
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find_project(tmp_path / "a" / "b") == tmp_path


def test_outside_of_a_project_its_directory_is_asked_for():
    with pytest.raises(ProjectError, match=r"no cdk\.json in / or above"):
        find_project(Path("/"))
