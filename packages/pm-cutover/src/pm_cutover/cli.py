"""The `pm` command: arguments in, one reply out, errors in one line."""

import math
import sys
import time
from importlib.metadata import entry_points, version
from typing import Annotated

from cyclopts import App, CycloptsError, Group, Parameter

from pm_cutover.answers import answer, fail
from pm_cutover.aws.remote import INTERRUPTED, with_option_last
from pm_cutover.deadlines import parse_duration
from pm_cutover.errors import PmError, UsageError
from pm_cutover.interruption import sigterm_as_ctrl_c
from pm_cutover.options import Options
from pm_cutover.output import clear_screen, log_of, output_as_asked
from pm_cutover.phases.finish import finish
from pm_cutover.phases.move import cutover, limits_of, rollback
from pm_cutover.phases.plan import plan
from pm_cutover.phases.preflight import preflight
from pm_cutover.phases.replicate import replicate
from pm_cutover.phases.run import Run
from pm_cutover.phases.shift import parse_steps, shift
from pm_cutover.phases.status import status
from pm_cutover.phases.verify import verify
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
# Nobody may be left to end what runs in a task.
WATCH_IN_A_TASK_SECONDS = 8 * 3600.0
LOOK = Group("Look (changes nothing)", sort_key=1)
MOVE = Group("Move (in this order)", sort_key=2)
BACK = Group("Back", sort_key=3)
LOCAL = Group("Elsewhere", sort_key=4)

app = App(
    name="pm",
    version=lambda: version("pm-cutover"),
    help_format="markdown",
    suppress_keyboard_interrupt=False,  # it would end the process without a word
    help="""Move a payment service and its PostgreSQL database from the source to the target environment.

In this order: preflight, replicate, verify, shift, cutover, finish; `pm plan` says which comes next, `pm rollback`
goes back from anywhere before finish. Every command may be killed and run again: what is left to do is read off the
databases and AWS.

On AWS the databases are private: `pm --remote VERB ...` runs the same command as a task inside their network and shows
its output here, with the same exit code; Ctrl-C stops the task.

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
    return answer("plan", options, lambda run: plan_reply(plan(run)))


@app.command(name="preflight", sort_key=1, group=LOOK)
def preflight_command(*, options: Options = Options()) -> int:  # noqa: B008 - frozen
    """Check everything that would stop or spoil the migration later: stacks, databases, tables, endpoints, alarms.

    Exit code 1 when there is a blocker. Example: pm preflight --suffix blue
    """
    return answer("preflight", options, lambda run: preflight_reply(preflight(run)))


@app.command(name="status", sort_key=2, group=LOOK)
def status_command(
    *,
    watch: Annotated[bool, Parameter(negative="")] = False,
    options: Options = Options(),  # noqa: B008 - frozen
) -> int:
    """Show the writer, replication and its lag, tables, weights, services, alarms and stacks.

    Example: pm status --watch

    Args:
        watch: Look again every two seconds until Ctrl-C, in a task for 8 h at most; with --json one object a line.
        options: Common options.
    """

    def look(run: Run) -> Reply:
        facts = status(run)
        return Reply(facts=facts, view=status_view(facts))

    ends = time.monotonic() + WATCH_IN_A_TASK_SECONDS if log_of(sys.stdout) is not None else math.inf
    code = answer("status", options, look)
    while watch and code == 0 and not options.remote:
        if time.monotonic() > ends:
            sys.stderr.write("pm: watched for as long as a task may; run the same command again to go on\n")
            break
        time.sleep(2)
        if not options.json:
            clear_screen()
        code = answer("status", options, look)
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
    return answer("verify", options, lambda run: verify_reply(verify(run, only=table)))


@app.command(name="replicate", sort_key=4, group=MOVE)
def replicate_command(*, options: Options = Options()) -> int:  # noqa: B008 - frozen
    """Make the target follow the source: schema, control schema, full load, then every change.

    Creates tables on the target, schema pm_control and a fence trigger on both sides, one replication slot on the
    source, and starts the DMS task `load`. The source stays the writer. Needs pg_dump and pg_restore, in
    PM_POSTGRES_BIN or on PATH. Example: pm replicate --suffix blue
    """
    return answer("replicate", options, lambda run: replicate_reply(replicate(run)))


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

    return answer("shift", options, work)


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
        drain_timeout: Longest wait for the last rows; after it the source is open again. Requests wait as long: keep it
            below what the service grants them (pm-payments: 8 s). At most 60 s.
        options: Common options.
    """
    return answer(
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
    return answer(
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
        drain_timeout: Longest wait for the last rows; after it the target is open again. Requests wait as long: keep it
            below what the service grants them (pm-payments: 8 s). At most 60 s.
        options: Common options.
    """
    return answer(
        "rollback", options, lambda run: rollback_reply(rollback(run, limits=_limits(max_lag, drain_timeout)))
    )


def main() -> None:
    """Run `pm` with this process's arguments and end it."""
    with sigterm_as_ctrl_c():
        code = _main(sys.argv[1:])
    sys.exit(code)


def _main(arguments: list[str]) -> int:
    try:
        with output_as_asked() as log:
            code = _dispatch(arguments)
            if log is not None:
                log.end(code)
            return code
    except UsageError as error:  # of the output itself
        return fail(error)


def _dispatch(arguments: list[str]) -> int:
    try:
        code = app(with_option_last(arguments), exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return fail(UsageError(f"{' '.join(str(error).split())} (pm --help)"))
    except PmError as error:
        return fail(error)
    except KeyboardInterrupt:
        sys.stderr.write("pm: interrupted; run the same command again to go on\n")
        return INTERRUPTED
    return int(code or 0)  # help and version answer nothing


def _limits(max_lag_seconds: float, drain_seconds: float) -> Limits:
    try:
        return limits_of(max_lag_seconds=max_lag_seconds, drain_seconds=drain_seconds)
    except ValueError as error:
        raise UsageError(str(error)) from error


# Other packages add verbs of their own; they are imported when they are called.
for _entry in entry_points(group=COMMANDS):
    app.command(_entry.value, name=_entry.name, group=LOCAL)
