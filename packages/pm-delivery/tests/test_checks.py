"""Which orders of deployment the contracts allow."""

from typing import Any

import pytest

from pm_delivery.account import Reader
from pm_delivery.assembly import Template
from pm_delivery.checks import left_behind, producers, taken_away, unmet

PREFIX = "/pm/dev/"
VPC, KEY = "/pm/dev/source/network/vpc-id", "/pm/dev/source/data/key-arn"
NETWORK_VERSION, DATA_VERSION = "/pm/dev/source/network/contract-version", "/pm/dev/source/data/contract-version"


def template(
    stack: str,
    *,
    reads: dict[str, int] | None = None,
    inputs: tuple[str, ...] = (),
    published: dict[str, str] | None = None,
) -> Template:
    parameters = {
        f"P{number}": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": path}
        for number, path in enumerate(inputs)
    }
    resources = {
        f"R{number}": {"Type": "AWS::SSM::Parameter", "Properties": {"Name": path, "Value": value}}
        for number, (path, value) in enumerate((published or {}).items())
    }
    body: dict[str, Any] = {
        "Parameters": parameters
        | {"Assets": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/cdk/version"}},
        "Resources": resources,
        "Metadata": {f"pm:reads:{address}": version for address, version in (reads or {}).items()},
    }
    return Template(stack=stack, name=f"pm-{stack}-dev", region="us-east-1", prefix=PREFIX, body=body)


COMPUTE = template("compute-source", reads={"source/network": 1, "source/data": 2}, inputs=(VPC, KEY))
ALL = {VPC: "vpc-1", KEY: "key", NETWORK_VERSION: "1", DATA_VERSION: "2"}


def network(*, version: str = "1", **more: str) -> Template:
    return template("network-source", published={VPC: "", NETWORK_VERSION: version, **more})


def test_what_a_stack_reads_is_told_by_producer() -> None:
    assert producers(COMPUTE) == {"source/network": (VPC,), "source/data": (KEY,)}


def test_a_stack_whose_inputs_are_there_may_be_deployed() -> None:
    assert unmet(COMPUTE, ALL) == ()


def test_each_missing_tier_is_named_once() -> None:
    assert unmet(COMPUTE, {}) == (
        f"compute-source reads {KEY}, which nobody publishes: deploy data-source first",
        f"compute-source reads {VPC}, which nobody publishes: deploy network-source first",
    )


def test_a_tier_that_is_needed_without_being_read_is_named() -> None:
    (problem,) = unmet(COMPUTE, ALL, absent=["audit-source"])
    assert problem == "compute-source needs audit-source, which is not deployed: deploy audit-source first"


def test_one_missing_parameter_is_enough_to_refuse() -> None:
    (problem,) = unmet(COMPUTE, {path: value for path, value in ALL.items() if path != VPC})
    assert "deploy network-source first" in problem


def test_a_producer_without_a_version_is_refused() -> None:
    (problem,) = unmet(COMPUTE, {path: value for path, value in ALL.items() if path != NETWORK_VERSION})
    assert NETWORK_VERSION in problem
    assert "deploy network-source first" in problem


@pytest.mark.parametrize(
    ("published", "said"),
    [
        (
            "3",
            "data-source publishes version 3 of its contract, newer than version 2, which compute-source understands",
        ),
        ("1", "compute-source needs version 2: deploy a newer release of data-source first"),
    ],
)
def test_another_version_of_a_contract_is_refused(published: str, said: str) -> None:
    (problem,) = unmet(COMPUTE, ALL | {DATA_VERSION: published})
    assert said in problem


def reader(*inputs: str, network: int = 1) -> Reader:
    return Reader(name="pm-compute-source-dev", inputs=frozenset(inputs), reads={"source/network": network})


def test_an_update_that_keeps_what_others_read_is_allowed() -> None:
    assert taken_away(network(), [reader(VPC)]) == ()
    assert left_behind(network(), [reader(VPC)]) == ()


def test_an_update_that_takes_away_what_others_read_is_refused() -> None:
    (problem,) = taken_away(network(), [reader(VPC, "/pm/dev/source/network/new-id")])
    assert "pm-compute-source-dev reads /pm/dev/source/network/new-id" in problem
    assert "roll pm-compute-source-dev back first" in problem


def test_what_others_read_of_other_stacks_is_not_asked() -> None:
    assert taken_away(network(), [reader(VPC, KEY)]) == ()


def test_going_back_behind_the_version_that_others_need_is_refused() -> None:
    (problem,) = taken_away(network(), [reader(VPC, network=2)])
    assert "needs version 2 of its contract, this version of network-source publishes 1" in problem


def test_a_new_version_of_a_contract_leaves_readers_with_what_they_have() -> None:
    newer = network(version="2")
    assert taken_away(newer, [reader(VPC)]) == ()
    (line,) = left_behind(newer, [reader(VPC)])
    assert "pm-compute-source-dev understands version 1 of this contract, not 2" in line
