import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from pm_core import CONTRACTS
from pm_core.compatibility import breaks, described, raised

RELEASED = json.loads((Path(__file__).parents[1] / "contracts.json").read_text())


def test_readers_of_the_last_release_are_not_broken_without_a_new_version():
    """A failure here means: raise the contract's ``version``, or take the change back."""
    assert breaks(RELEASED, described(CONTRACTS)) == ()


@pytest.fixture
def current() -> dict[str, Any]:
    return deepcopy({name: dict(contract) for name, contract in described(CONTRACTS).items()})


def test_a_new_field_breaks_nobody(current: dict[str, Any]):
    released = deepcopy(current)
    current["NetworkContract"]["fields"]["new"] = "text"
    assert breaks(released, current) == ()
    assert raised(released, current) == ()


def test_a_field_that_goes_is_named_with_the_version_to_raise(current: dict[str, Any]):
    released = deepcopy(current)
    del current["NetworkContract"]["fields"]["vpc_id"]
    assert breaks(released, current) == ("NetworkContract: field vpc_id went away; raise its version to 2",)
    current["NetworkContract"]["version"] = 2
    assert breaks(released, current) == ()
    assert raised(released, current) == ("NetworkContract",)


def test_a_field_that_becomes_a_list_is_a_break(current: dict[str, Any]):
    released = deepcopy(current)
    current["DataContract"]["fields"]["port"] = "list"
    (line,) = breaks(released, current)
    assert "field port is a list, was a text" in line


def test_a_contract_that_goes_or_goes_back_is_a_break(current: dict[str, Any]):
    released = deepcopy(current)
    released["ZoneContract"]["version"] = 2
    del current["DataContract"]
    assert breaks(released, current) == (
        "DataContract is gone: keep publishing it, its readers are deployed",
        "ZoneContract goes back from version 2 to 1",
    )
