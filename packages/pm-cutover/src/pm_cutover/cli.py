"""The `pm` command: arguments in, one reply out, errors in one line."""

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Annotated

import psycopg
from botocore.exceptions import BotoCoreError, ClientError
from cyclopts import App, CycloptsError, Group, Parameter
from rich.console import Console

from pm_cutover.aws.archive import archive
from pm_cutover.aws.session import AwsSession, as_pm_error
from pm_cutover.deadlines import parse_duration
from pm_cutover.environment import Deployment
from pm_cutover.errors import PmError, RefusedError, UsageError
from pm_cutover.evidence import EvidenceLog
from pm_cutover.options import Options
from pm_cutover.phases.finish import finish
from pm_cutover.phases.move import cutover, limits_of, rollback
from pm_cutover.phases.plan import plan
from pm_cutover.phases.preflight import preflight
from pm_cutover.phases.replicate import replicate
from pm_cutover.phases.run import Run
from pm_cutover.phases.shift import parse_steps, shift
from pm_cutover.phases.status import status
from pm_cutover.phases.verify import verify
from pm_cutover.progress import ConsoleProgress
from pm_cutover.protocol import Limits
from pm_cutover.replies import (
    Reply,
    finish_reply,
    move_reply,
    plan_reply,
    preflight_reply,
    replicate_reply,
    rollback_reply,
    shift_reply,
    verify_reply,
)
from pm_cutover.status_view import status_view

COMMANDS = "pm.commands"
INTERRUPTED = 130
LOOK = Group("Look (changes nothing)", sort_key=1)
MOVE = Group("Move (in this order)", sort_key=2)
BACK = Group("Back", sort_key=3)
LOCAL = Group("Elsewhere", sort_key=4)

app = App(
    name="pm",
    version=lambda: version("pm-cutover"),
    help_format="markdown",
    help="""Move a payment service and its PostgreSQL database from the source to the target environment.

In this order: preflight, replicate, verify, shift, cutover, finish; `pm plan` says which comes next, `pm rollback`
goes back from anywhere before finish. Every command may be killed and run again: what is left to do is read off the
databases and AWS.

Region and credentials come from the usual AWS settings (AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL).
Exit codes: 0 done, 1 refused or aborted safely, 2 usage, 3 needs a person.""",
)

Duration = Annotated[
    float,
    Parameter(
        converter=lambda _, tokens: parse_duration(tokens[0].value),
        metavar="DURATION",
        show_default=lambda value: f"{value:g}s",
    ),
]


@app.command(name="plan", sort_key=0, group=LOOK)
def plan_command(*, options: Options = Options()) -> int:  # noqa: B008 - frozen
    """Show every phase, where it stands, and the command that comes next.

    Example: pm plan --suffix blue
    """
    return _answer("plan", options, lambda run: plan_reply(plan(run)))


@app.command(name="preflight", sort_key=1, group=LOOK)
def preflight_command(*, options: Options = Options()) -> int:  # noqa: B008 - frozen
    """Check everything that would stop or spoil the migration later: stacks, databases, tables, endpoints, alarms.

    Exit code 1 when there is a blocker. Example: pm preflight --suffix blue
    """
    return _answer("preflight", options, lambda run: preflight_reply(preflight(run)))


@app.command(name="status", sort_key=2, group=LOOK)
def status_command(
    *,
    watch: Annotated[bool, Parameter(negative="")] = False,
    options: Options = Options(),  # noqa: B008 - frozen
) -> int:
    """Show the writer, replication and its lag, tables, weights, services, alarms and stacks.

    Example: pm status --watch

    Args:
        watch: Look again every two seconds until Ctrl-C; with --json one object a line.
        options: Common options.
    """

    def look(run: Run) -> Reply:
        facts = status(run)
        return Reply(facts=facts, view=status_view(facts))

    code = _answer("status", options, look)
    while watch and code == 0:
        time.sleep(2)
        if not options.json and sys.stdout.isatty():
            Console().clear()
        code = _answer("status", options, look)
    return code


@app.command(name="verify", sort_key=3, group=LOOK)
def verify_command(
    *,
    table: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    options: Options = Options(),  # noqa: B008 - frozen
) -> int:
    """Compare both databases row by row while writes go on, and name the keys that differ.

    Writes marker rows into pm_control only. Exit code 1 when something differs.
    Example: pm verify --table public.payments

    Args:
        table: Only this one, schema.table; may be repeated. Default: every replicated table.
        options: Common options.
    """
    return _answer("verify", options, lambda run: verify_reply(verify(run, only=table)))


@app.command(name="replicate", sort_key=4, group=MOVE)
def replicate_command(*, options: Options = Options()) -> int:  # noqa: B008 - frozen
    """Make the target follow the source: schema, control schema, full load, then every change.

    Creates tables on the target, schema pm_control and a fence trigger on both sides, one replication slot on the
    source, and starts the DMS task `load`. The source stays the writer. Needs pg_dump and pg_restore, in
    PM_POSTGRES_BIN or on PATH. Example: pm replicate --suffix blue
    """
    return _answer("replicate", options, lambda run: replicate_reply(replicate(run)))


@app.command(name="shift", sort_key=5, group=MOVE)
def shift_command(
    steps: str,
    *,
    bake: Duration = 180.0,
    options: Options = Options(),  # noqa: B008 - frozen
) -> int:
    """Send traffic to the target, step by step; a step that goes wrong is taken back.

    Changes the weights of the two DNS records and their SSM parameters. Requests reach both environments, writes go
    to the one open writer in any case. After a kill, the steps already gone through are left out.
    Example: pm shift 5,25,50,100 --bake 5m; back: pm shift 0

    Args:
        steps: The target's share in percent, one or several: 5,25,50,100.
        bake: How long alarms, health and errors are watched at each step: 500ms, 10s, 5m. A load balancer's figures
            come up to three minutes late.
        options: Common options.
    """

    def work(run: Run) -> Reply:
        return shift_reply(shift(run, steps=parse_steps(steps), bake_seconds=bake))

    return _answer("shift", options, work)


@app.command(name="cutover", sort_key=6, group=MOVE)
def cutover_command(
    *,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    max_lag: Duration = 3.0,
    drain_timeout: Duration = 5.0,
    options: Options = Options(),  # noqa: B008 - frozen
) -> int:
    """Move the writer to the target: writes wait for as long as replication needs for its last rows.

    Before the target opens, every failure reopens the source (exit code 1). Afterwards replication runs back.
    Example: pm cutover --dry-run, then pm cutover

    Args:
        dry_run: Do everything up to the point where writes would wait, then stop.
        max_lag: Refuse when the target is further behind than this.
        drain_timeout: Longest wait for the last rows; after it the source is open again.
        options: Common options.
    """
    return _answer(
        "cutover",
        options,
        lambda run: move_reply(cutover(run, limits=_limits(max_lag, drain_timeout), dry_run=dry_run)),
    )


@app.command(name="finish", sort_key=7, group=MOVE)
def finish_command(
    *,
    idle_window: Duration = 300.0,
    metric_delay: Duration = 120.0,
    options: Options = Options(),  # noqa: B008 - frozen
) -> int:
    """End the migration: replication back stops, the engine's schema leaves the target. No way back after this.

    Refuses unless the target is the writer, has all traffic, and the source's load balancer saw no request for a
    while. The source stays sealed until it is destroyed. Example: pm finish --idle-window 5m

    Args:
        idle_window: How long nobody may use the source, watched from now on with its health check off; 0 does not ask.
        metric_delay: How late the load balancer's metrics come; waited for before and after the window.
        options: Common options.
    """
    return _answer(
        "finish",
        options,
        lambda run: finish_reply(finish(run, idle_window_seconds=idle_window, metric_delay_seconds=metric_delay)),
    )


@app.command(name="rollback", sort_key=8, group=BACK)
def rollback_command(
    *,
    max_lag: Duration = 3.0,
    drain_timeout: Duration = 5.0,
    options: Options = Options(),  # noqa: B008 - frozen
) -> int:
    """Go back from any phase before finish: the writer to the source if it has left, then all traffic.

    Loses nothing: payments taken on the target have been replicated back. Example: pm rollback

    Args:
        max_lag: Refuse when the source is further behind than this.
        drain_timeout: Longest wait for the last rows; after it the target is open again.
        options: Common options.
    """
    return _answer(
        "rollback", options, lambda run: rollback_reply(rollback(run, limits=_limits(max_lag, drain_timeout)))
    )


def main() -> None:
    """Run `pm` with this process's arguments and end it."""
    try:
        code = app(sys.argv[1:], exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        code = _fail(UsageError(f"{' '.join(str(error).split())} (pm --help)"))
    except PmError as error:
        code = _fail(error)
    except KeyboardInterrupt:
        sys.stderr.write("pm: interrupted; run the same command again to go on\n")
        code = INTERRUPTED
    sys.exit(code or 0)  # help and version answer nothing


def _answer(verb: str, options: Options, work: Callable[[Run], Reply]) -> int:
    try:
        run = _run(verb, options)
        try:
            reply = work(run)
        finally:
            _archive(run)
    except PmError as error:
        return _fail(error, notes=_notes(error), as_json=options.json)
    except (BotoCoreError, ClientError) as error:
        return _fail(as_pm_error(error), notes=_notes(error), as_json=options.json)
    except psycopg.Error as error:
        return _fail(_database_error(error), notes=_notes(error), as_json=options.json)
    if options.json:
        sys.stdout.write(json.dumps(reply.facts) + "\n")
        sys.stdout.flush()
    else:
        Console(highlight=False).print(reply.view)
    return reply.exit_code


def _run(verb: str, options: Options) -> Run:
    if not options.suffix:
        raise UsageError("no deployment named: give --suffix SUFFIX or set PM_SUFFIX")
    evidence = options.evidence or Path(f"pm-evidence-{options.suffix}.jsonl")
    return Run(
        deployment=Deployment(aws=AwsSession(), suffix=options.suffix),
        progress=ConsoleProgress(),
        evidence=EvidenceLog(path=evidence, verb=verb, suffix=options.suffix),
    )


def _archive(run: Run) -> None:
    """Keep what was recorded; a bucket that is away changes neither the result of the run nor its exit code."""
    if not run.evidence.lines:
        return
    try:
        archive(run.deployment, run.evidence)
    except PmError as error:
        sys.stderr.write(f"pm: evidence is in {run.evidence.path} alone: {error}\n")


def _limits(max_lag_seconds: float, drain_seconds: float) -> Limits:
    try:
        return limits_of(max_lag_seconds=max_lag_seconds, drain_seconds=drain_seconds)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _database_error(error: psycopg.Error) -> PmError:
    reason = error.diag.message_primary or " ".join(str(error).split())
    return RefusedError(f"a database broke off: {reason} - see `pm status`, then run again")


def _notes(error: BaseException) -> tuple[str, ...]:
    """What was done about an error on its way here, for example that weights were taken back."""
    return tuple(getattr(error, "__notes__", ()))


def _fail(error: PmError, *, notes: tuple[str, ...] = (), as_json: bool = False) -> int:
    message = "; ".join((str(error), *notes))
    sys.stderr.write(f"pm: {message}\n")
    if as_json:
        sys.stdout.write(json.dumps({"error": message, "exit_code": error.exit_code}) + "\n")
    return error.exit_code


# Other packages add verbs of their own; they are imported when they are called.
for _entry in entry_points(group=COMMANDS):
    app.command(_entry.value, name=_entry.name, group=LOCAL)
