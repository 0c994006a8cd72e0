import aws_cdk as cdk
import pytest
from aws_cdk import assertions

from pm_core import CONTRACTS, Contract, ContractError, NetworkContract, ZoneContract, reads_key
from pm_core.cdk import publish, read


def sample(contract: type[Contract]) -> Contract:
    return contract(
        **{
            name: (f"{name}-a", f"{name}-b") if contract.is_list(name) else f"value of {name}"
            for name in contract.field_names()
        }
    )


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.tier)
def test_what_is_published_is_what_is_parsed(contract: type[Contract]):
    written = sample(contract)
    parameters = dict(written.parameters("dev", "source"))
    assert contract.parse(parameters, suffix="dev", environment="source") == written


def test_parameters_follow_the_documented_paths():
    parameters = dict(sample(NetworkContract).parameters("dev", "target"))
    assert parameters["/pm/dev/target/network/vpc-id"] == "value of vpc_id"
    assert parameters["/pm/dev/target/network/private-subnet-ids/2"] == "private_subnet_ids-b"


def test_a_contract_of_another_version_says_what_to_deploy():
    parameters = dict(sample(ZoneContract).parameters("dev", "source"))
    path = ZoneContract.version_path("dev", "source")
    assert path == "/pm/dev/source/zone/contract-version"
    assert parameters[path] == "1"
    with pytest.raises(ContractError, match="publishes version 2 of its contract, newer than version 1"):
        ZoneContract.parse({**parameters, path: "2"}, suffix="dev", environment="source")
    with pytest.raises(ContractError, match="needs version 1: deploy a newer release of pm-zone-dev first"):
        ZoneContract.parse({**parameters, path: "0"}, suffix="dev", environment="source")


def test_a_missing_parameter_names_the_stack_to_deploy():
    parameters = dict(sample(ZoneContract).parameters("dev", "source"))
    del parameters["/pm/dev/source/zone/zone-name"]
    with pytest.raises(ContractError, match=r"/pm/dev/source/zone/zone-name not found: deploy pm-zone-dev first"):
        ZoneContract.parse(parameters, suffix="dev", environment="source")
    with pytest.raises(
        ContractError, match=r"/pm/dev/source/zone/contract-version not found: deploy pm-zone-dev first"
    ):
        ZoneContract.parse({}, suffix="dev", environment="source")


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.tier)
def test_stacks_publish_and_read_the_same_parameters(contract: type[Contract]):
    app = cdk.App()
    producer, consumer = cdk.Stack(app, "producer"), cdk.Stack(app, "consumer")
    publish(producer, sample(contract), suffix="dev", environment="source")
    inputs = read(consumer, contract, suffix="dev", environment="source", list_length=2)
    for name in contract.field_names():
        value = getattr(inputs, name)
        cdk.CfnOutput(consumer, name.replace("_", ""), value=",".join(value) if contract.is_list(name) else value)
    published = {
        resource["Properties"]["Name"]: resource["Properties"]["Value"]
        for resource in assertions.Template.from_stack(producer).find_resources("AWS::SSM::Parameter").values()
    }
    wanted = {
        parameter["Default"]
        for parameter in assertions.Template.from_stack(consumer).to_json()["Parameters"].values()
        if parameter["Type"] == "AWS::SSM::Parameter::Value<String>"
    }
    assert published == dict(sample(contract).parameters("dev", "source"))
    assert {path for path in wanted if path.startswith("/pm/")} | {contract.version_path("dev", "source")} == set(
        published
    )
    assert consumer.template_options.metadata == {reads_key("source", contract.tier): contract.version}


def test_only_fields_that_are_used_become_template_parameters():
    stack = cdk.Stack(cdk.App(), "consumer")
    zone = read(stack, ZoneContract, suffix="dev", environment="source")
    cdk.CfnOutput(stack, "Zone", value=zone.hosted_zone_id)
    defaults = [one["Default"] for one in assertions.Template.from_stack(stack).to_json()["Parameters"].values()]
    assert [path for path in defaults if path.startswith("/pm/")] == ["/pm/dev/source/zone/hosted-zone-id"]


def test_a_field_that_does_not_exist_is_refused():
    inputs = read(cdk.Stack(cdk.App(), "consumer"), ZoneContract, suffix="dev", environment="source")
    with pytest.raises(AttributeError, match="ZoneContract has no field 'colour'"):
        inputs.colour  # noqa: B018 - the access itself
