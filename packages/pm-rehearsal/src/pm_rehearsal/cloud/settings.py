"""What the server process, its subsystems and whoever starts it agree on."""

HOST = "127.0.0.1"
ACCOUNT = "123456789012"
DEFAULT_REGION = "us-east-1"
OWN_NAMESPACE = "PM/EmbeddedAWS"  # of metrics that AWS does not have

IMAGES_VARIABLE = "PM_CLOUD_IMAGES"  # JSON object: ECR repository name prefix -> argv of the local command
LATENCY_VARIABLE = "PM_CLOUD_REPLICATION_LATENCY_SECONDS"  # added to each change that DMS carries


class OccupiedPortError(RuntimeError):
    """A port that was asked for cannot be opened.

    Args:
        port: The port.
        option: The command-line option that chooses it.
        reason: What the operating system said.
    """

    def __init__(self, *, port: int, option: str, reason: str) -> None:
        super().__init__(
            f"port {port} on {HOST} cannot be used ({reason}): stop what holds it, "
            f"or choose another with {option} (0 takes a free one)"
        )
