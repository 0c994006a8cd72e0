"""The CDK CLI, run for a person who watches."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pm_core.cdk_cli import cdk_command
from pm_delivery.errors import DeliveryError
from pm_postgres import kill_session, spawn


def run_cdk(root: Path, arguments: Sequence[str]) -> None:
    """Run the CLI in a project; its output goes where this process's goes.

    It has no deadline: CloudFormation has one for every resource, and a person can interrupt. It dies with us.

    Raises:
        DeliveryError: It failed; it has said why.
    """
    # The workspace's programs first: the app's jsii finds its Node there.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    process = spawn(
        [*cdk_command(), "--no-notices", *arguments],
        cwd=root,
        env={**os.environ, "PATH": path, "CDK_DISABLE_VERSION_CHECK": "1"},
        descendants=True,
    )
    try:
        code = process.wait()
    finally:
        kill_session(process)
    if code:
        raise DeliveryError(f"cdk {arguments[0]} failed with exit code {code}: its messages are above")
