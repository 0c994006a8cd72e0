"""What the constructs of this tier refuse."""


class PropsError(ValueError):
    """Props that AWS would refuse, or that contradict each other; the message says what is allowed."""
