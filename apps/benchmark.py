"""Times that are worth knowing, each as a ratio of two kinds of run that are taken in turns.

    nox -s bench -- synth   [--runs 3] [--only data-source]
    nox -s bench -- deploy  [--runs 3] [--only compute-target]

``synth``: synthesis of everything and of one tier, validation and all rule packs included. ``deploy``: `nox -s deploy`
of everything and of one tier, each with a change in every stack, on an embedded AWS.

The times are of this machine and moment; the ratio is what can be compared. CPU time changes less than elapsed time
while others use the machine.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pm_core.cdk_cli import cdk_command
from pm_rehearsal.cloud import inherited_environment
from pm_rehearsal.deployment import DIFFERENCES
from pm_rehearsal.stage import Stage, StageOptions

ROOT = Path(__file__).parents[1]
SUFFIX = "bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one command took.

    Attributes:
        elapsed_seconds: From start to end.
        cpu_seconds: Of all its processes.
    """

    elapsed_seconds: float
    cpu_seconds: float


Pairs = list[tuple[Run, Run]]
"""Everything and one tier, in turns."""


def timed(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Run:
    """Run a command in the project.

    Raises:
        SystemExit: It failed; its output is on standard error.
    """
    started, cpu = time.monotonic(), _cpu_of_children()
    result = subprocess.run(
        command,
        cwd=ROOT,
        env={**inherited_environment(), **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        sys.stderr.write(result.stdout + result.stderr)
        raise SystemExit(result.returncode)
    return Run(elapsed_seconds=time.monotonic() - started, cpu_seconds=_cpu_of_children() - cpu)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def synth(only: str, runs: int) -> Pairs:
    """Synthesis by the real CDK CLI."""

    def one(selection: str, output: str) -> Run:
        arguments = ("synth", "--quiet", "--output", output, "--context", f"only={selection}")
        return timed([*cdk_command(), "--no-notices", *arguments])

    with tempfile.TemporaryDirectory() as directory:
        one(only, directory)  # compiles bytecode where that was not done yet
        return [(one("*", f"{directory}/all"), one(only, f"{directory}/one")) for _ in range(runs)]


def deploy(only: str, runs: int) -> Pairs:
    """`nox -s deploy` on an embedded AWS where all is deployed; before each, a tag of every resource changes."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)  # PostgreSQL's user looks into it
        file = directory / "settings.toml"
        with Stage(StageOptions(project=ROOT, directory=directory, suffix=SUFFIX)) as stage:
            stacks = stage.synthesize()
            stage.bootstrap()
            stage.deploy_registries(stacks)
            stage.cdk.deploy([one for one in stacks if not one.startswith("registry-")])

            def one(selection: str, cost_center: str) -> Run:
                settings = {**DIFFERENCES, "environmentSuffix": SUFFIX, "costCenter": cost_center}
                file.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
                session = [sys.executable, "-m", "nox", "-s", "deploy", "--", selection]
                return timed([*session, "--settings", str(file), "--yes"], stage.cloud.environment)

            return [(one("--all", f"all-{number}"), one(only, f"one-{number}")) for number in range(runs)]


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("what", choices=("synth", "deploy"))
    arguments.add_argument("--runs", type=int, default=3, help="of each kind, in turns (default 3)")
    arguments.add_argument("--only", help="the single tier (default data-source, compute-target)")
    options = arguments.parse_args()
    if options.runs < 1:
        arguments.error(f"--runs {options.runs}: at least 1")
    measure, only = (synth, "data-source") if options.what == "synth" else (deploy, "compute-target")
    pairs = measure(options.only or only, options.runs)
    for kind in ("elapsed", "cpu"):
        whole, part = (statistics.median(getattr(pair[of], f"{kind}_seconds") for pair in pairs) for of in (0, 1))
        ratio = f"{options.only or only} {part:.1f} s ({part / whole:.0%})"
        print(f"{options.what}, {kind}: everything {whole:.1f} s, {ratio}")
    print(f"median of {options.runs} runs")


if __name__ == "__main__":
    main()
