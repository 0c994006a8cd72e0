"""Property names of every resource, checked against CloudFormation's own resource schemas before anything is created.

MiniStack ignores what it does not know, so that a misspelt property would deploy. The schemas are those that cfn-lint
ships.
"""

import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pm_rehearsal.cloud.extension import Extension
from pm_rehearsal.cloud.settings import DEFAULT_REGION

Schema = Mapping[str, Any]

UNCHECKED_PREFIXES = ("Custom::", "AWS::CloudFormation::", "AWS::CDK::")
CLOUDFORMATION = "ministack.services.cloudformation"


class SchemaError(RuntimeError):
    """The resource schemas are not installed."""


def install(extension: Extension) -> None:
    """Check each template that a stack or a change set is made from."""
    engine = extension.module("services.cloudformation.engine")
    for name in ("handlers", "changesets", "stacks"):
        extension.module(f"services.cloudformation.{name}")
    validate = engine.validate_template_support

    def checked(template: dict[str, Any], conditions: dict[str, bool], params: Any = None) -> None:
        validate(template, conditions, params)
        problems = [problem for name, item in _resources(template) for problem in misspelt(name, item)]
        if problems:
            raise ValueError("Template format error: " + "; ".join(problems))

    # Imported by name in several modules of the package.
    for name, module in list(sys.modules.items()):
        if name.startswith(CLOUDFORMATION) and getattr(module, "validate_template_support", None) is validate:
            module.validate_template_support = checked  # type: ignore[attr-defined] # the seam
    _schema_files()


def misspelt(logical_id: str, resource: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each property name that CloudFormation does not know, at any depth."""
    type_name = str(resource.get("Type", ""))
    if type_name.startswith(UNCHECKED_PREFIXES) or not type_name.startswith("AWS::"):
        return
    schema = _schema(type_name)
    if schema is None:
        return
    for path in _unknown(resource.get("Properties") or {}, schema, schema, ""):
        yield f"{type_name} {logical_id} has no property {path}"


def _resources(template: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(name, item) for name, item in (template.get("Resources") or {}).items() if isinstance(item, dict)]


@cache
def _schema_files() -> tuple[Path, Mapping[str, str]]:
    """cfn-lint's schemas and the name of each type's file; read as data, since importing cfn-lint takes seconds."""
    package = importlib.util.find_spec("cfnlint")
    if package is None or package.origin is None:
        raise SchemaError("cfn-lint is not installed, whose resource schemas templates are checked against: `uv sync`")
    folder = Path(package.origin).parent / "data" / "schemas"
    names: Mapping[str, str] = json.loads((folder / "providers" / f"{DEFAULT_REGION}.json").read_text())
    return folder / "resources", names


@cache
def _schema(type_name: str) -> Schema | None:
    folder, names = _schema_files()
    if type_name not in names:
        return None
    schema: Schema = json.loads((folder / f"{names[type_name]}.json").read_text())
    return schema


def _unknown(value: Any, schema: Schema, root: Schema, path: str) -> Iterator[str]:
    """Paths below ``value`` that the schema closes out; an intrinsic function may stand for anything."""
    schema = _dereferenced(schema, root)
    if isinstance(value, list):
        for item in value:
            yield from _unknown(item, schema.get("items", {}), root, path)
    elif isinstance(value, dict) and not _is_intrinsic(value):
        known: dict[str, Schema] = dict(_properties(schema, root))
        closed = bool(known) and schema.get("additionalProperties") is False and "patternProperties" not in schema
        for name, item in value.items():
            if name in known:
                yield from _unknown(item, known[name], root, f"{path}{name}.")
            elif closed:
                yield f"{path}{name}"


def _properties(schema: Schema, root: Schema) -> Iterator[tuple[str, Schema]]:
    """A schema's own properties and those of its alternatives."""
    yield from schema.get("properties", {}).items()
    for keyword in ("oneOf", "anyOf", "allOf"):
        for alternative in schema.get(keyword, []):
            if isinstance(alternative, dict):
                yield from _properties(_dereferenced(alternative, root), root)


def _dereferenced(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        target: Any = root
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target[part]
        schema = target
    return schema


def _is_intrinsic(value: Mapping[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)).startswith(("Fn::", "Ref", "Condition"))
