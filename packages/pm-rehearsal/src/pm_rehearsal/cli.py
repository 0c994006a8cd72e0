"""`pm rehearse`."""

import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Annotated

from cyclopts import Parameter
from cyclopts.types import ExistingDirectory, NonNegativeInt, PositiveFloat, UInt16
from cyclopts.validators import Number
from rich.console import Console

from pm_core import SettingsError
from pm_core.cdk_cli import CdkMissingError, ProjectError, find_project
from pm_postgres import PostgresMissingError, PostgresStartError
from pm_rehearsal.cdk import CdkError
from pm_rehearsal.cloud import CloudStartError
from pm_rehearsal.engine import EngineError
from pm_rehearsal.load.process import LoadError
from pm_rehearsal.progress import Progress
from pm_rehearsal.rehearsal import MAX_REPLICATION_LAG_SECONDS, Options, rehearse
from pm_rehearsal.stage import StageOptions

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def command(
    *,
    rate: Annotated[PositiveFloat, Parameter(help="Payments per second.")] = 200.0,
    payments: Annotated[NonNegativeInt, Parameter(help="Go on until so many payments are acknowledged.")] = 5000,
    history: Annotated[NonNegativeInt, Parameter(help="Payments in the source before the migration.")] = 20_000,
    replication_lag: Annotated[
        float,
        Parameter(
            validator=Number(gte=0, lte=MAX_REPLICATION_LAG_SECONDS),
            help="Seconds added to replication, to rehearse a lag such as that of DMS. "
            f"At most {MAX_REPLICATION_LAG_SECONDS:g}; writes wait as long, and a service gives up after some seconds.",
        ),
    ] = 0.0,
    suffix: Annotated[str, Parameter(help="The environmentSuffix in every name.")] = "rehearsal",
    port: Annotated[UInt16, Parameter(help="Port of the emulated AWS on 127.0.0.1; 0 takes a free one.")] = 0,
    project: Annotated[
        ExistingDirectory | None, Parameter(help="Directory of cdk.json. Default: the nearest one above.")
    ] = None,
    directory: Annotated[
        Path | None, Parameter(help="Where logs, book and evidence go. Default: a temporary directory.")
    ] = None,
    json: Annotated[Path | None, Parameter(help="Write the report to this file.")] = None,
    keep: Annotated[
        bool, Parameter(negative="", help="Wait for Ctrl-C before everything is destroyed, and say how to look at it.")
    ] = False,
) -> int:
    """Rehearse the whole migration on this machine: emulated AWS, real PostgreSQL, real load.

    Deploys both environments with the CDK CLI, pays through the weighted name, runs preflight, replicate, verify,
    shift, cutover, rollback, cutover and finish, destroys everything, and audits both databases against the client's
    own book. Exit code 0 only if nothing was lost, doubled, failed or left behind.
    Example: pm rehearse --rate 500 --json report.json
    """
    console = Console(stderr=False)
    signal.signal(signal.SIGTERM, _interrupt)
    work = directory or Path(tempfile.mkdtemp(prefix="pm-rehearsal-"))
    work.mkdir(parents=True, exist_ok=True)

    def pause(how_to_look: str) -> None:
        console.print(
            "\nEverything is up. From another terminal:\n" + how_to_look, highlight=False, markup=False, soft_wrap=True
        )
        console.print("Ctrl-C destroys it.")
        try:
            signal.pause()
        except KeyboardInterrupt:
            console.print()

    progress = Progress(console)
    try:
        report = rehearse(
            Options(
                stage=StageOptions(
                    project=find_project(project or Path.cwd()),
                    directory=work,
                    suffix=suffix,
                    port=port,
                    replication_latency_seconds=replication_lag,
                ),
                rate=rate,
                acknowledged=payments,
                history=history,
                keep=pause if keep else None,
            ),
            progress,
        )
    except (SettingsError, ProjectError, CdkMissingError, PostgresMissingError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except CloudStartError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE if error.exit_code == USAGE else FAILED
    except (CdkError, EngineError, LoadError, PostgresStartError) as error:
        print(f"error: {error}\nlogs: {work}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("interrupted: everything that was started is stopped", file=sys.stderr)
        return INTERRUPTED
    console.print(report.table())
    for finding in report.findings[:20]:
        console.print(f"  {finding}", markup=False, highlight=False)
    for leftover in report.leftovers:
        console.print(f"  left: {leftover}", markup=False, highlight=False)
    if json is not None:
        report.write(json)
    console.print(f"logs, client's book and evidence: {work}", highlight=False)
    if report.problems:
        print(f"error: {'; '.join(report.problems)}", file=sys.stderr)
        return FAILED
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt
