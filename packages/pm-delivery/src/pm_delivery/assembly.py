"""Templates of single stacks, made by the CDK CLI with a given interpreter."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pm_core import NEEDS_KEY, parameter_prefix
from pm_delivery.cdk import run_cdk
from pm_delivery.project import Project

_READ = "AWS::SSM::Parameter::Value<"
_READS = "pm:reads:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One stack's template.

    Attributes:
        stack: The stack's id.
        name: CloudFormation's name for it.
        region: Where it goes.
        prefix: Of the deployment's parameters, ``/pm/<suffix>/``.
        body: The template.
    """

    stack: str
    name: str
    region: str
    prefix: str
    body: Mapping[str, Any]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The deployment's parameters that the stack reads, by path."""
        declared = self.body.get("Parameters", {}).values()
        paths = {entry["Default"] for entry in declared if str(entry["Type"]).startswith(_READ)}
        return tuple(sorted(path for path in paths if path.startswith(self.prefix)))

    @property
    def reads(self) -> dict[str, int]:
        """Version of each contract that the stack understands, by ``<environment>/<tier>``."""
        return versions_read(self.body.get("Metadata", {}))

    @property
    def needs(self) -> tuple[str, ...]:
        """Ids of the stacks that must be deployed before, whether it reads parameters of them or not."""
        return tuple(self.body.get("Metadata", {}).get(NEEDS_KEY, ()))

    @property
    def published(self) -> dict[str, str]:
        """The deployment's parameters that the stack makes: path to value; a value known later is empty."""
        made = (
            entry["Properties"] for entry in self.body["Resources"].values() if entry["Type"] == "AWS::SSM::Parameter"
        )
        return {
            entry["Name"]: entry["Value"] if isinstance(entry["Value"], str) else ""
            for entry in made
            if isinstance(entry["Name"], str) and entry["Name"].startswith(self.prefix)
        }


def versions_read(metadata: Mapping[str, Any]) -> dict[str, int]:
    """What a template's metadata says of the contracts that its stack understands."""
    return {key.removeprefix(_READS): int(value) for key, value in metadata.items() if key.startswith(_READS)}


def synthesize(project: Project, only: str, *, python: Path, directory: Path) -> tuple[Template, ...]:
    """Make the templates of the stacks that match.

    Args:
        project: The checkout and the settings.
        only: Globs over stack ids.
        python: Interpreter with the packages that make them.
        directory: Gets the assembly.

    Raises:
        DeliveryError: The app failed; it has said why.
    """
    run_cdk(
        project.root,
        [
            *("synth", "--quiet", "--app", f"{python} -m pm_stacks", "--output", str(directory)),
            *("--context", f"only={only}", "--context", f"overrides={json.dumps(project.overrides)}"),
        ],
    )
    manifest = json.loads((directory / "manifest.json").read_text())
    prefix = parameter_prefix(project.settings.environment_suffix)
    return tuple(
        Template(
            stack=stack,
            name=artifact["properties"]["stackName"],
            region=artifact["environment"].rpartition("/")[2],
            prefix=prefix,
            body=json.loads((directory / artifact["properties"]["templateFile"]).read_text()),
        )
        for stack, artifact in manifest["artifacts"].items()
        if artifact["type"] == "aws:cloudformation:stack"
    )
