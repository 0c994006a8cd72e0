"""The real CDK CLI, run against the embedded AWS."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pm_core.cdk_cli import cdk_command
from pm_rehearsal.cloud import inherited_environment
from pm_rehearsal.commands import CommandTooSlowError, follow

DEPLOY_SECONDS = 600.0


class CdkError(RuntimeError):
    """The CDK CLI failed; the message ends with what it printed last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CdkCli:
    """One assembly and the account it is deployed to.

    Attributes:
        project: Directory of cdk.json.
        assembly: Where templates are synthesized to.
        environment: The AWS_* variables of the account.
        log: Everything that the CLI prints.
    """

    project: Path
    assembly: Path
    environment: Mapping[str, str] = field(repr=False)
    log: Path

    def synth(self, settings: Mapping[str, Any], *, only: str = "*") -> list[str]:
        """Synthesize the stacks that match, with these settings laid over cdk.json's; returns their names."""
        overrides = json.dumps(settings, separators=(",", ":"))
        self._run(
            *("synth", "--quiet", "--output", str(self.assembly)),
            *("--context", f"overrides={overrides}", "--context", f"only={only}"),
        )
        manifest = json.loads((self.assembly / "manifest.json").read_text())
        return sorted(
            name for name, artifact in manifest["artifacts"].items() if artifact["type"] == "aws:cloudformation:stack"
        )

    def bootstrap(self, account: str, regions: Sequence[str]) -> None:
        """Prepare the account for deployments, as on AWS."""
        targets = [f"aws://{account}/{region}" for region in regions]
        self._run("bootstrap", "--app", "", *targets)

    def deploy(self, stacks: Sequence[str], *, on_line: Callable[[str], None] | None = None) -> None:
        """Deploy stacks in the order of their dependencies."""
        self._run(
            *("deploy", "--app", str(self.assembly), "--require-approval", "never", "--concurrency", "4"),
            *("--progress", "events", "--exclusively", *stacks),
            on_line=on_line,
        )

    def destroy(self, stacks: Sequence[str] = (), *, on_line: Callable[[str], None] | None = None) -> None:
        """Destroy some stacks of the assembly and no other; all of them unless some are named."""
        chosen = ("--exclusively", *stacks) if stacks else ("--all",)
        self._run(
            *("destroy", "--app", str(self.assembly), "--force", "--concurrency", "4", *chosen),
            on_line=on_line,
        )

    def _run(self, *arguments: str, on_line: Callable[[str], None] | None = None) -> None:
        # The app is `python` in cdk.json: this interpreter comes first on its path.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        try:
            ended = follow(
                [*cdk_command(), "--no-notices", "--no-color", "--ci", *arguments],
                environment={
                    **inherited_environment(),
                    **self.environment,
                    "PATH": path,
                    "CDK_DISABLE_VERSION_CHECK": "1",
                },
                log=self.log,
                deadline_seconds=DEPLOY_SECONDS,
                directory=self.project,
                on_line=on_line,
            )
        except CommandTooSlowError as error:
            raise CdkError(f"cdk {arguments[0]} {error}") from None
        if ended.exit_code:
            said = [line for line in ended.lines if line.strip()]
            raise CdkError(
                f"cdk {arguments[0]} failed with exit code {ended.exit_code} (all output in {self.log}):\n"
                + "\n".join(said[-12:])
            )
