"""One command: done here, or in a task inside the network; one reply, errors in one line."""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from pm_core.contracts import OperatorContract
from pm_cutover.aws.archive import archive
from pm_cutover.aws.remote import remote_arguments, run_remotely
from pm_cutover.aws.session import AwsSession, as_pm_error
from pm_cutover.environment import Deployment
from pm_cutover.errors import PmError, RefusedError, UsageError
from pm_cutover.evidence import EvidenceLog
from pm_cutover.options import Options
from pm_cutover.output import log_of, make_progress
from pm_cutover.phases.run import Run
from pm_cutover.replies import Reply


def answer(verb: str, options: Options, work: Callable[[Run], Reply]) -> int:
    """Do the work here, or have a task do it, and say how it went.

    Args:
        verb: The command.
        options: Which deployment, where, and how to answer.
        work: What the command does here.

    Returns:
        The exit code.
    """
    try:
        if options.remote:
            return _remotely(options)
        run = _run(verb, options)
        try:
            reply = work(run)
        finally:
            _archive(run)
    except PmError as error:
        return fail(error, notes=_notes(error), as_json=options.json)
    except (BotoCoreError, ClientError) as error:
        return fail(as_pm_error(error), notes=_notes(error), as_json=options.json)
    except psycopg.Error as error:
        return fail(_database_error(error), notes=_notes(error), as_json=options.json)
    if options.json:
        sys.stdout.write(json.dumps(reply.facts) + "\n")
        sys.stdout.flush()
    else:
        Console(highlight=False).print(reply.view)
    return reply.exit_code


def _remotely(options: Options) -> int:
    arguments = remote_arguments(sys.argv[1:])
    deployment = _deployment(options)
    contract = deployment.contract(OperatorContract, "target")
    return run_remotely(deployment.aws, contract, arguments, columns=Console().width)


def _run(verb: str, options: Options) -> Run:
    deployment, log = _deployment(options), log_of(sys.stdout)
    return Run(
        deployment=deployment,
        progress=make_progress(),
        evidence=EvidenceLog(
            path=options.evidence or Path(f"pm-evidence-{options.suffix}.jsonl"),
            verb=verb,
            suffix=options.suffix,
            # A task's files go with it, however it ends.
            echo=None if log is None else partial(log.write, "evidence"),
        ),
    )


def _deployment(options: Options) -> Deployment:
    if not options.suffix:
        raise UsageError("no deployment named: give --suffix SUFFIX or set PM_SUFFIX")
    return Deployment(aws=AwsSession(), suffix=options.suffix)


def _archive(run: Run) -> None:
    """Keep what was recorded; a bucket that is away changes neither the result of the run nor its exit code."""
    if not run.evidence.lines:
        return
    try:
        archive(run.deployment, run.evidence)
    except PmError as error:
        where = run.evidence.path if run.evidence.echo is None else "the task's log"
        sys.stderr.write(f"pm: evidence is in {where} alone: {error}\n")


def _database_error(error: psycopg.Error) -> PmError:
    reason = error.diag.message_primary or " ".join(str(error).split())
    return RefusedError(f"a database broke off: {reason} - see `pm status`, then run again")


def _notes(error: BaseException) -> tuple[str, ...]:
    """What was done about an error on its way here, for example that weights were taken back."""
    return tuple(getattr(error, "__notes__", ()))


def fail(error: PmError, *, notes: tuple[str, ...] = (), as_json: bool = False) -> int:
    """Say in one line why nothing came of it; the exit code."""
    message = "; ".join((str(error), *notes))
    sys.stderr.write(f"pm: {message}\n")
    if as_json:
        sys.stdout.write(json.dumps({"error": message, "exit_code": error.exit_code}) + "\n")
    return error.exit_code
