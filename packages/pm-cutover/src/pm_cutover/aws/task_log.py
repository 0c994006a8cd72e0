"""The log of one task's container, read as it is written."""

from collections.abc import Iterator

from botocore.exceptions import ClientError

from pm_core.contracts import OperatorContract
from pm_cutover.aws.session import AwsSession, error_code


class TaskLog:
    """Reads a log stream from its beginning, each line once.

    Args:
        aws: Where.
        contract: Names the log group.
        task_arn: Whose log.

    Attributes:
        group: The log group.
        stream: The log stream, ``<prefix>/<container>/<task id>`` as the driver awslogs names it.
        deleted: Whether it was deleted while it was read, as the destruction of the task's stack does.
    """

    def __init__(self, *, aws: AwsSession, contract: OperatorContract, task_arn: str) -> None:
        self._logs = aws.client("logs")
        self._token: str | None = None
        self.deleted = False
        self.group = contract.log_group_name
        task_id = task_arn.rpartition("/")[2]
        self.stream = f"{contract.log_stream_prefix}/{contract.container_name}/{task_id}"

    @property
    def command(self) -> str:
        """The command that shows it."""
        return f"aws logs tail {self.group} --since 1d --log-stream-names {self.stream}"

    def read(self) -> Iterator[str]:
        """What was written since the last call; nothing while the container has not begun or once the log is gone."""
        while True:
            position = {} if self._token is None else {"nextToken": self._token}
            try:
                page = self._logs.get_log_events(
                    logGroupName=self.group, logStreamName=self.stream, startFromHead=True, **position
                )
            except ClientError as error:
                if error_code(error) != "ResourceNotFoundException":
                    raise
                self.deleted = self._token is not None
                return
            yield from (event["message"] for event in page["events"])
            # An empty page proves nothing: the end is where the token does not change.
            if page["nextForwardToken"] == self._token:
                return
            self._token = page["nextForwardToken"]
