"""Contracts as SSM parameters of a stack."""

from typing import TypeVar, cast

import aws_cdk as cdk
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from pm_core.contracts import Contract, reads_key

C = TypeVar("C", bound=Contract)


def publish(scope: Construct, contract: Contract, *, suffix: str, environment: str) -> None:
    """Write a contract's version and every field of it as String parameters below ``scope``.

    Source: AWS::SSM::Parameter.
    """
    within = Construct(scope, "Contract")
    for path, value in contract.parameters(suffix, environment):
        name = path.split(f"/{contract.tier}/", 1)[1]
        logical_id = "".join(part.capitalize() for part in name.replace("/", "-").split("-"))
        ssm.StringParameter(within, logical_id, parameter_name=path, string_value=value)


def read(scope: Construct, contract: type[C], *, suffix: str, environment: str, list_length: int = 0) -> C:
    """A contract whose values CloudFormation resolves when the stack is deployed.

    Only fields that are used become template parameters: an unused one would be a finding of the validation. The
    template's metadata says which version of the contract the stack was written for.

    Args:
        scope: A construct of the reading stack, which gets the template parameters.
        contract: The contract's type.
        suffix: The deployment's environmentSuffix.
        environment: The environment that publishes it.
        list_length: Elements of each tuple field: the number of availability zones for the network contract.

    Source: AWS::SSM::Parameter::Value<String> template parameters. A missing parameter fails the deployment with its
    name before anything is created.
    """
    return cast("C", _Inputs(scope, contract, suffix=suffix, environment=environment, list_length=list_length))


class _Inputs:
    """Stands in for a contract: a field becomes a template parameter when it is first used."""

    def __init__(
        self, scope: Construct, contract: type[Contract], *, suffix: str, environment: str, list_length: int
    ) -> None:
        self._scope, self._contract = scope, contract
        self._suffix, self._environment, self._list_length = suffix, environment, list_length
        self._values: dict[str, str] = {}

    def __getattr__(self, field: str) -> str | tuple[str, ...]:
        if field not in self._contract.field_names():
            raise AttributeError(f"{self._contract.__name__} has no field {field!r}")
        if self._contract.is_list(field):
            return tuple(self._value(field, index) for index in range(1, self._list_length + 1))
        return self._value(field, None)

    def _value(self, field: str, index: int | None) -> str:
        path = self._contract.path(self._suffix, self._environment, field, index)
        if not self._values:
            understood = reads_key(self._environment, self._contract.tier)
            cdk.Stack.of(self._scope).add_metadata(understood, self._contract.version)
        if path not in self._values:
            self._values[path] = ssm.StringParameter.value_for_string_parameter(self._scope, path)
        return self._values[path]
