"""What the CDK CLI runs (cdk.json): every installed environment's app in one assembly.

Context keys:
    settings: The deployment's settings, an object in cdk.json.
    overrides: Settings to lay over those, as JSON: ``-c 'overrides={"environmentSuffix": "pr12"}'``.
    only: Which stacks to build, comma-separated globs over their ids: ``-c only=data-source,*-target``.

Exit code 2 for wrong input, with one line that says where, what was found and what is allowed.
"""

import gc
import os
import sys

import aws_cdk as cdk

from pm_core import Settings
from pm_stacks import Selection, add_rule_packs, catalogue, installed_environments


def main() -> int:
    """Make the assembly; the exit code."""
    # A quarter of Python's time went into looking for garbage in a process that ends with its result: not now, and
    # frozen below not when it ends either.
    gc.disable()
    app = cdk.App()
    try:
        settings = Settings.read(app.node.try_get_context("settings"), app.node.try_get_context("overrides"))
        only = Selection.parse(app.node.try_get_context("only"))
        only.check(catalogue())
        _start_validation(app)
        for environment in installed_environments().values():
            environment.compose(app, settings, only)
        add_rule_packs(app)
    except ValueError as error:
        # Our packages' own errors are about the input, and written for a person; any other is a bug of ours.
        if not type(error).__module__.startswith("pm_"):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    app.synth()
    gc.freeze()
    return 0


def _start_validation(app: cdk.App) -> None:
    """CloudFormation's validation, which the CDK would otherwise start at the end, unless ``CDK_VALIDATION`` is false.

    Its engine goes on compiling in the background while the stacks are composed; Node would not end before it is done.
    """
    if os.environ.get("CDK_VALIDATION") != "false":
        cdk.Validations.of(app).add_plugins(cdk.CloudFormationValidatePlugin())


if __name__ == "__main__":
    sys.exit(main())
