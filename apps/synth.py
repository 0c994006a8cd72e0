"""What the CDK CLI runs (cdk.json): both environments' apps in one assembly.

Context keys:
    settings: The deployment's settings, an object in cdk.json.
    overrides: Settings to lay over those, as JSON: ``-c 'overrides={"environmentSuffix": "pr12"}'``.
    only: Which stacks to build, comma-separated globs over their ids: ``-c only=data-source,*-target``.

Exit code 2 for wrong input, with one line that says where, what was found and what is allowed.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk

import pm_source_app
import pm_target_app
from pm_core import Settings, SettingsError
from pm_stacks import Selection, add_rule_packs


def read_settings(settings: Any, overrides: Any) -> Settings:
    """The settings of the context keys ``settings`` and ``overrides``.

    Raises:
        SettingsError: They are missing, no object, or wrong.
    """
    return Settings.parse(_laid_over(_object("settings", settings), _object("overrides", overrides or {})))


def _object(key: str, value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise SettingsError(f"{key}: {value!r} is no JSON ({error}): give an object of settings") from None
    if not isinstance(value, Mapping):
        raise SettingsError(f"{key}: found {value!r}: give an object of settings, as in cdk.json's context")
    return value


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``above`` wins; objects in both, such as ``source``, are joined."""
    joined = {
        key: _laid_over(below[key], value)
        if isinstance(value, Mapping) and isinstance(below.get(key), Mapping)
        else value
        for key, value in above.items()
    }
    return dict(below) | joined


def main() -> int:
    """Make the assembly; the exit code."""
    app = cdk.App()
    try:
        settings = read_settings(app.node.try_get_context("settings"), app.node.try_get_context("overrides"))
        only = Selection.parse(app.node.try_get_context("only"))
        only.check([*pm_source_app.STACK_IDS, *pm_target_app.STACK_IDS])
        pm_source_app.compose(app, settings, only)
        pm_target_app.compose(app, settings, only)
        add_rule_packs(app)
    except ValueError as error:
        # Our packages' own errors are about the input, and written for a person; any other is a bug of ours.
        if not type(error).__module__.startswith("pm_"):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    app.synth()
    return 0


if __name__ == "__main__":
    sys.exit(main())
