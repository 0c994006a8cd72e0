"""The ways in which a command can end without having done its work; each is one message for a person."""


class DeliveryError(RuntimeError):
    """A command stopped; the message says what was found, what is allowed and what to do.

    Attributes:
        exit_code: What the process ends with.
    """

    exit_code = 1


class RefusedError(DeliveryError):
    """Nothing was changed, because it would have gone wrong."""


class UsageError(DeliveryError):
    """The command line cannot be right."""

    exit_code = 2
