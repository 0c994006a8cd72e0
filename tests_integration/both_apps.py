"""Both environments' apps, composed in this process."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aws_cdk as cdk

import pm_source_app
import pm_target_app
from pm_core import Settings
from pm_core.cdk_cli import find_project
from pm_stacks import Selection

CONTEXT = json.loads((find_project(Path(__file__)) / "cdk.json").read_text())["context"]


def composed(
    settings: Mapping[str, Any], *, only: str | None = None, directory: Path | None = None, validated: bool = False
) -> cdk.App:
    """An app that is ready for synthesis.

    Args:
        settings: Of the deployment.
        only: Globs over stack ids; everything by default.
        directory: Gets the assembly; a temporary one by default.
        validated: Whether CloudFormation's own validation looks at the templates, which takes seconds.

    Raises:
        ValueError: It should, but the variable CDK_VALIDATION, which would win, is there.
    """
    if validated and "CDK_VALIDATION" in os.environ:
        raise ValueError("CDK_VALIDATION is set: unset it, or nothing is validated")
    app = cdk.App(
        context=CONTEXT,
        outdir=None if directory is None else str(directory),
        builtin_cloud_formation_validation=validated,
    )
    for environment in (pm_source_app, pm_target_app):
        environment.compose(app, Settings.parse(dict(settings)), Selection.parse(only))
    return app
