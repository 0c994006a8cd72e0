import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_core import CONTRACTS, Build, BuildError, deployments


def build(version: str) -> Build:
    return Build(package="pm-data", versions={"pm-data": version, "pm-core": "0.1.0"})


def test_what_is_written_is_what_is_read():
    written = build("0.2.0")
    assert Build.parse(written.text) == written
    assert written.version == "0.2.0"


@pytest.mark.parametrize("text", ["", "3", "{}", '{"package": "pm-data"}', '{"package": "pm-data", "versions": []}'])
def test_anything_else_is_refused(text: str):
    with pytest.raises(BuildError, match="says nothing of package versions"):
        Build.parse(text)


def test_a_package_from_a_working_tree_is_no_release():
    assert build("0.2.0").released
    assert not build("0.2.0+tree").released
    assert build("0.2.0+tree").from_tree == ("pm-data",)


@pytest.mark.parametrize(
    ("history", "standing"),
    [
        ("", ""),
        ("1", "1"),
        ("1 1 2 2", "1 2"),  # a new tag writes the same value again
        ("1 2 1", "1"),  # rolled back, or a failed update
        ("1 2 3 2 1", "1"),
        ("1 2 3 2 4", "1 2 4"),
        ("1 2 1 2", "1 2"),
        ("1 2 3 1", "1 2 3 1"),
    ],
)
def test_going_back_takes_the_newer_deployment_off_the_list(history: str, standing: str):
    assert [one.version for one in deployments(build(version) for version in history.split())] == standing.split()


@given(st.lists(st.sampled_from("1234"), min_size=1))
def test_the_last_deployment_is_the_present_one(history: list[str]):
    assert deployments(build(version) for version in history)[-1].version == history[-1]


def test_no_contract_field_takes_the_place_of_the_build():
    for contract in CONTRACTS:
        assert not {"build", "contract_version"} & set(contract.field_names())
