import json
from pathlib import Path

import pytest

from pm_core import SettingsError
from pm_delivery.errors import UsageError
from pm_delivery.project import Project


@pytest.fixture
def root(tmp_path: Path) -> Path:
    settings = {"environmentSuffix": "dev", "domain": "payments.internal"}
    (tmp_path / "cdk.json").write_text(json.dumps({"context": {"settings": settings}}))
    return tmp_path


def test_a_file_and_a_suffix_are_laid_over_the_settings(root: Path) -> None:
    file = root / "blue.toml"
    file.write_text('environmentSuffix = "blue"\n[source]\ncidr = "10.30.0.0/16"\n')
    project = Project.read(root, file=file, suffix="green")
    assert project.settings.environment_suffix == "green"
    assert project.settings.source.cidr == "10.30.0.0/16"
    assert project.settings.domain == "payments.internal"
    assert project.overrides == {"environmentSuffix": "green", "source": {"cidr": "10.30.0.0/16"}}


def test_a_wrong_file_is_named(root: Path) -> None:
    (root / "wrong.toml").write_text("environmentSuffix")
    for name in ("wrong.toml", "missing.toml"):
        with pytest.raises(UsageError, match=name):
            Project.read(root, file=root / name)


def test_a_wrong_setting_is_refused(root: Path) -> None:
    with pytest.raises(SettingsError, match="environmentSuffix"):
        Project.read(root, suffix="Not_This")
