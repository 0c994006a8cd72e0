"""The ways in which a `pm` command can end without having done its work; each is one line for the operator."""


class PmError(RuntimeError):
    """A command stopped; the message says what was found, what is allowed and what to do.

    Attributes:
        exit_code: What the process ends with.
    """

    exit_code = 1


class RefusedError(PmError):
    """Refused or aborted safely: nothing was changed, or what was changed has been taken back."""


class UsageError(PmError):
    """The command line or the deployment it names cannot be right."""

    exit_code = 2


class PersonNeededError(PmError):
    """The engine cannot go on or back by itself; the message says what a person has to do."""

    exit_code = 3
