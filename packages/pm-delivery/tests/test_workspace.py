from pathlib import Path

import pytest

from pm_delivery.errors import UsageError
from pm_delivery.workspace import Workspace

ROOT = Path(__file__).parents[3]


def test_what_a_package_needs_is_found_through_others() -> None:
    needs = Workspace.read(ROOT).needs("pm-source-app")
    assert needs[0] == "pm-source-app"
    assert {"pm-stacks", "pm-network", "pm-core"} <= set(needs)
    assert "pm-rehearsal" not in needs


def test_dependants_say_which_versions_they_take() -> None:
    dependants = Workspace.read(ROOT).dependants("pm-network")
    assert set(dependants) == {"pm-stacks"}
    assert dependants["pm-stacks"].specifier.contains(Workspace.read(ROOT).member("pm-network").version)


def test_an_unknown_package_is_named_with_those_that_exist() -> None:
    with pytest.raises(UsageError, match=r"no package 'pm-nothing': use one of pm-compute, pm-core, "):
        Workspace.read(ROOT).member("pm-nothing")
