"""`pm --remote`: a verb as a task inside the network, its output here as it comes, its exit code ours."""

import sys
import time
from collections.abc import Iterable, Sequence

from botocore.exceptions import BotoCoreError, ClientError

from pm_core.contracts import OperatorContract
from pm_cutover.aws.operator import OperatorState, OperatorTasks
from pm_cutover.aws.session import AwsSession, as_pm_error
from pm_cutover.aws.task_log import TaskLog
from pm_cutover.errors import PersonNeededError, PmError, RefusedError, UsageError
from pm_cutover.frames import Frame, FrameReader
from pm_cutover.interruption import Interruption
from pm_cutover.output import clear_screen
from pm_cutover.progress import ConsoleProgress, Progress

OPTION = "--remote"
EVIDENCE = "--evidence"
INTERRUPTED = 130
LOOK_SECONDS = 1.0
START_SECONDS = 600.0  # to find room, pull the image and start it; a minute is usual
STOP_SECONDS = 300.0  # a task has 120 s to end, and its record comes later
LOST_SECONDS = 300.0
REST_SECONDS = 30.0
_OWN_CODES = frozenset({0, 1, 2, 3, INTERRUPTED})


def with_option_last(arguments: Sequence[str]) -> list[str]:
    """A command line whose ``--remote`` comes last: ``pm --remote status`` is ``pm status --remote``.

    Raises:
        UsageError: There is no verb.
    """
    if not arguments or arguments[0] != OPTION:
        return list(arguments)
    if len(arguments) == 1:
        raise UsageError(f"{OPTION} runs a command inside the network: say which, for example pm {OPTION} status")
    return [*arguments[1:], OPTION]


def remote_arguments(arguments: Sequence[str]) -> list[str]:
    """The command line for the task.

    Raises:
        UsageError: It names a file on this machine.
    """
    if any(argument == EVIDENCE or argument.startswith(f"{EVIDENCE}=") for argument in arguments):
        raise UsageError(
            f"{EVIDENCE} names a file on this machine, which a task does not have: leave it out; what a task records "
            "goes to evidence/ in the target's transaction log bucket, and to its log"
        )
    return [argument for argument in arguments if argument != OPTION]


def run_remotely(aws: AwsSession, contract: OperatorContract, arguments: Sequence[str], *, columns: int) -> int:
    """Run ``pm <arguments>`` as a task, show what it says, and wait until it ends.

    Ctrl-C stops the task and waits for its end; a second one leaves it to itself.

    Args:
        aws: Account and region.
        contract: How tasks are run.
        arguments: The command line after `pm`, without ``--remote``.
        columns: Width of tables.

    Returns:
        The exit code of the container: that of the verb.

    Raises:
        RefusedError: The image is missing, or ECS does not run the task.
        PersonNeededError: Nobody knows how `pm` ended, or whether it did: ECS does not, and its log lacks the end.
    """
    tasks = OperatorTasks(aws=aws, contract=contract)
    tasks.check_image()
    with Interruption() as interruption:
        arn = tasks.start(arguments, columns=columns)
        log = TaskLog(aws=aws, contract=contract, task_arn=arn)
        try:
            return _RemoteRun(tasks, arn, log, interruption).follow()
        except PmError as error:
            error.add_note(f"the task may go on: {log.command}")
            raise
        except (BotoCoreError, ClientError) as error:
            raise PersonNeededError(
                f"lost sight of task {arn}, which may go on ({as_pm_error(error)}): read its log, {log.command}, and "
                "`pm status`"
            ) from error
        except BrokenPipeError:
            tasks.stop(arn)  # nobody reads any more; here `pm` would end, too
            raise
        except KeyboardInterrupt:
            sys.stderr.write(f"pm: no longer waiting for task {arn}: {log.command}\n")
            raise


class _RemoteRun:
    """One task that was started."""

    def __init__(self, tasks: OperatorTasks, arn: str, log: TaskLog, interruption: Interruption) -> None:
        self._tasks, self._arn, self._log, self._interruption = tasks, arn, log, interruption
        self._screen = Screen(ConsoleProgress())
        self._state = OperatorState(status="PROVISIONING")
        self._seen = self._started = time.monotonic()
        self._ran = False  # ECS has said so once; it may not know the task any more
        self._unknown: float | None = None  # since when ECS does not know it
        self._stopped: float | None = None  # when the task was asked to stop

    def follow(self) -> int:
        """Show and wait until it has ended; its exit code."""
        self._screen.progress.step(f"task {self._arn} runs it: {self._log.command}")
        self._look()
        while not self._ended():
            if self._interruption.asked and self._stopped is None:
                self._stop()
            self._check_time()
            if not self._began:
                self._screen.progress.waiting(f"the task is {self._state.status.lower()}")
            time.sleep(LOOK_SECONDS)
            self._look()
        self._show_rest()
        return self._exit_code()

    def _look(self) -> None:
        """What is new; an AWS that does not answer for a while changes nothing about the task."""
        try:
            # The state first: what a container wrote before it ended is then in what is read next, or on its way.
            state = self._tasks.state(self._arn)
            if state is None:
                self._unknown = self._unknown or time.monotonic()
            else:
                self._unknown = None
                self._ran = self._ran or state.began
                if state.ended or not self._state.ended:  # an answer may be older than the one before
                    self._state = state
            self._screen.show(self._log.read())
        except (BotoCoreError, ClientError) as error:
            if not _passes(error) or time.monotonic() - self._seen > LOST_SECONDS:
                raise
            self._screen.progress.waiting(f"AWS does not answer: {error}")
        else:
            self._seen = time.monotonic()

    @property
    def _began(self) -> bool:
        return self._ran or self._screen.spoken

    def _ended(self) -> bool:
        return self._state.ended or (self._unknown is not None and self._screen.exit_code is not None)

    def _stop(self) -> None:
        self._screen.progress.step("stopping the task: pm ends there as on Ctrl-C (Ctrl-C again leaves it to itself)")
        self._tasks.stop(self._arn)
        self._stopped = time.monotonic()

    def _check_time(self) -> None:
        now, state = time.monotonic(), self._state
        if self._unknown is not None:  # whether it runs is not known either: it is not stopped
            if now - self._unknown > LOST_SECONDS:
                raise PersonNeededError(
                    f"ECS has not known the task for {LOST_SECONDS:g} s, so that nobody can say whether pm "
                    f"{'has ended, and how' if self._began else 'ever began'}: read its log and `pm status`, then run "
                    "the same command again, which is refused while this one still works"
                )
            return
        if self._stopped is not None and now - self._stopped > STOP_SECONDS:
            raise PersonNeededError(f"waited {STOP_SECONDS:g} s for the task to stop, in vain: it is {state.status}")
        if not self._began and now - self._started > START_SECONDS:
            self._tasks.stop(self._arn)
            raise RefusedError(
                f"waited {START_SECONDS:g} s for the task to start, in vain: it was {state.status} and is stopped now; "
                "see the cluster's task in ECS, then run again"
            )

    def _show_rest(self) -> None:
        """A log comes late: wait for its last line."""
        deadline = time.monotonic() + (REST_SECONDS if self._began else 0.0)
        while self._screen.exit_code is None and not self._log.deleted and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
            self._look()
        self._screen.finish()
        if self._screen.exit_code is not None:
            return
        if self._log.deleted:
            sys.stderr.write("pm: the task's log was deleted, with its stack perhaps, before its end was read\n")
        elif self._state.exit_code in _OWN_CODES:
            sys.stderr.write(f"pm: the end of the log has not come within {REST_SECONDS:g} s: {self._log.command}\n")

    def _exit_code(self) -> int:
        state, written = self._state, self._screen.exit_code
        if state.exit_code is not None:
            if state.exit_code not in _OWN_CODES:
                why = f"exit code {state.exit_code}: {state.reason or 'no reason given'}"
                sys.stderr.write(f"pm: the task was ended from outside ({why}); run the same command again to go on\n")
            return state.exit_code
        if written is not None:
            sys.stderr.write(f"pm: ECS tells no exit code of the task; {written} is what pm wrote last in its log\n")
            return written
        reason = state.reason or "no reason given"
        if self._began:
            raise PersonNeededError(
                f"the task stopped after pm began ({reason}), and how pm ended is not known: see `pm status`, then run "
                "the same command again to go on"
            )
        if self._stopped is not None:
            sys.stderr.write("pm: interrupted before the task began; nothing was changed\n")
            return INTERRUPTED
        raise RefusedError(f"the task stopped before pm began ({reason}): correct it and run again")


class Screen:
    """Shows frames as `pm` shows them where it runs.

    Args:
        progress: Shows what goes to standard error.

    Attributes:
        progress: As given.
        spoken: Whether `pm` wrote anything.
        exit_code: What `pm` wrote last; None before that.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.spoken = False
        self.exit_code: int | None = None
        self._reader = FrameReader()

    def show(self, lines: Iterable[str]) -> None:
        """Show what these log lines complete."""
        for line in lines:
            self.spoken = True
            self._show(self._reader.read(line))

    def finish(self) -> None:
        """Show what was begun: nothing comes any more."""
        self._show(self._reader.rest())

    def _show(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            match frame.kind:
                case "out":
                    sys.stdout.write(f"{frame.text}\n")
                    sys.stdout.flush()
                case "err":
                    self.progress.step(frame.text)
                case "wait":
                    self.progress.waiting(frame.text)
                case "clear":
                    clear_screen()
                case "end" if frame.text.isdecimal():
                    self.exit_code = int(frame.text)
                case "evidence":
                    pass  # kept in the log and in the bucket


def _passes(error: BotoCoreError | ClientError) -> bool:
    """Whether an error says nothing about the request: AWS was not reached, failed, or is busy."""
    if isinstance(error, BotoCoreError):
        return True
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
    return status >= 500 or "Throttl" in str(error.response.get("Error", {}).get("Code", ""))
