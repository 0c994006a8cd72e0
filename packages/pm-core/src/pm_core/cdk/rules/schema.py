"""CloudFormation's resource schema, as the installed aws-cdk-lib carries it: which properties a type has.

Every type ``AWS::Service::Type`` is the class ``aws_cdk.aws_service.CfnType``, generated from AWS's schema. Its
signature lists the properties; nothing is called or created. A module is imported only when somebody asks about a type
of it.
"""

import importlib
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

_TYPE = re.compile(r"AWS::(\w+)::(\w+)")
# Services whose module is not called after them.
_MODULES = {"Serverless": "sam"}
_STRUCTURE = re.compile(r"Cfn\w+\.(\w+Property)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """What the schema says about one property.

    Attributes:
        name: As CloudFormation calls it, for example ``KmsKeyId``; abbreviations may be in capitals there.
        words: The same in lower case with underscores between its words.
        is_switch: Whether it takes a boolean.
        structures: Classes of the structures that it takes, alone or in a list.
    """

    name: str
    words: str
    is_switch: bool
    structures: tuple[type, ...] = field(repr=False)


def properties_of(kind: str) -> Mapping[str, Property]:
    """The properties of a CloudFormation type by their names in lower case.

    Nothing for a type that the installed aws-cdk-lib does not know: a custom resource, or one that is newer.
    """
    resource = _resource_class(kind)
    return {} if resource is None else _properties(resource, resource)


def structure_properties(kind: str, structure: type) -> Mapping[str, Property]:
    """The properties of a structure that a property of ``kind`` takes."""
    resource = _resource_class(kind)
    return {} if resource is None else _properties(structure, resource)


@cache
def _resource_class(kind: str) -> type | None:
    match = _TYPE.fullmatch(kind)
    if match is None:
        return None
    service, name = match.groups()
    module = f"aws_cdk.aws_{_MODULES.get(service, service.lower())}"
    try:
        found = getattr(importlib.import_module(module), f"Cfn{name}", None)
    except ModuleNotFoundError:
        return None
    return found if isinstance(found, type) else None


@cache
def _properties(structure: type, resource: type) -> Mapping[str, Property]:
    # As text: resolving the annotations would import what they name.
    parameters: Mapping[str, inspect.Parameter] = inspect.signature(structure.__init__).parameters  # type: ignore[misc] # its own
    return {
        words.replace("_", ""): Property(
            name="".join(part.capitalize() for part in words.split("_")),
            words=words,
            is_switch="bool" in str(parameter.annotation),
            structures=_structures(str(parameter.annotation), resource),
        )
        for words, parameter in parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def _structures(annotation: str, resource: Any) -> tuple[type, ...]:
    named = dict.fromkeys(_STRUCTURE.findall(annotation))
    return tuple(found for name in named if isinstance(found := getattr(resource, name, None), type))
