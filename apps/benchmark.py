"""How long synthesis takes: everything, one tier, and their ratio; validation and all rule packs included.

    nox -s bench [-- --runs 5 --only data-source]

The times are of this machine and moment; the ratio of two kinds of run, taken in turns, is what can be compared.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def synthesis_seconds(only: str, output: Path) -> float:
    """One run of the real CDK CLI; seconds.

    Raises:
        SystemExit: Synthesis failed; its output is on standard error.
    """
    started = time.monotonic()
    result = subprocess.run(
        [_cdk(), "--no-notices", "synth", "--quiet", "--output", str(output), "--context", f"only={only}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        sys.stderr.write(result.stderr)
        raise SystemExit(result.returncode)
    return time.monotonic() - started


def _cdk() -> str:
    found = shutil.which("cdk")
    if found is None:
        raise SystemExit("cdk not found: run `uv run nox -s bench`, which has the workspace's own")
    return found


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--runs", type=int, default=3, help="of each kind, in turns (default 3)")
    arguments.add_argument("--only", default="data-source", help="the single tier (default data-source)")
    options = arguments.parse_args()
    if options.runs < 1:
        arguments.error(f"--runs {options.runs}: at least 1")
    everything: list[float] = []
    single: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        synthesis_seconds(options.only, Path(directory))  # compiles bytecode where that was not done yet
        for _ in range(options.runs):
            everything.append(synthesis_seconds("*", Path(directory, "all")))
            single.append(synthesis_seconds(options.only, Path(directory, "one")))
    whole, part = statistics.median(everything), statistics.median(single)
    print(f"everything {whole:.1f} s, {options.only} {part:.1f} s ({part / whole:.0%}); median of {options.runs} runs")


if __name__ == "__main__":
    main()
