"""What is deployed: parameters, stacks, and the history of each stack."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from pm_core import Build
from pm_delivery.assembly import versions_read
from pm_delivery.errors import DeliveryError

_CONFIG = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 4})
# An hour at most: AWS takes up to half of one to remove the network interfaces of functions.
_DELETED = {"Delay": 2, "MaxAttempts": 1800}
_BATCH = 10  # GetParameters takes at most ten names


class AccountError(DeliveryError):
    """AWS did not answer, or refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A deployed stack that reads parameters of the deployment.

    Attributes:
        name: Its name.
        inputs: The paths that it reads.
        reads: Version of each contract that it understands, by ``<environment>/<tier>``.
    """

    name: str
    inputs: frozenset[str]
    reads: Mapping[str, int]


class Account:
    """The account of the caller's credentials, in one region.

    Args:
        region: Where the deployment lives.
    """

    def __init__(self, *, region: str) -> None:
        self._session = boto3.Session(region_name=region)

    def parameters(self, paths: Sequence[str]) -> dict[str, str]:
        """Those of the parameters that exist, and what they hold."""
        found: dict[str, str] = {}
        for start in range(0, len(paths), _BATCH):
            with _errors():
                page = self._client("ssm").get_parameters(Names=list(paths[start : start + _BATCH]))
            found |= {entry["Name"]: entry["Value"] for entry in page["Parameters"]}
        return found

    def history(self, path: str, *, region: str) -> tuple[Build, ...]:
        """Every value that a build parameter had, oldest first; none when it does not exist.

        Source: Systems Manager API, GetParameterHistory; it keeps the last hundred.
        """
        ssm = self._client("ssm", region)
        with _errors():
            try:
                pages = list(ssm.get_paginator("get_parameter_history").paginate(Name=path))
            except ssm.exceptions.ParameterNotFound:
                return ()
        entries = sorted((entry for page in pages for entry in page["Parameters"]), key=lambda entry: entry["Version"])
        return tuple(Build.parse(entry["Value"]) for entry in entries)

    def readers(self, prefix: str, *, besides: str) -> tuple[Reader, ...]:
        """The deployed stacks that read a parameter below ``prefix``, but the one named ``besides``."""
        cloudformation = self._client("cloudformation")
        readers = []
        with _errors():
            for page in cloudformation.get_paginator("describe_stacks").paginate():
                for stack in page["Stacks"]:
                    read = {one["ParameterValue"] for one in stack.get("Parameters", ())}
                    inputs = frozenset(path for path in read if path.startswith(prefix))
                    if inputs and stack["StackName"] != besides:
                        template = cloudformation.get_template(StackName=stack["StackName"])["TemplateBody"]
                        reads = versions_read(template.get("Metadata", {}))
                        readers.append(Reader(name=stack["StackName"], inputs=inputs, reads=reads))
        return tuple(readers)

    def exists(self, name: str, *, region: str) -> bool:
        """Whether there is a stack of this name, in whatever state."""
        return self._status(name, region) is not None

    def deployed(self, name: str, *, region: str) -> bool:
        """Whether a stack of this name was made and has not been unmade: a failed creation leaves one, too.

        Source: CloudFormation API, Stack, StackStatus.
        """
        status = self._status(name, region) or ""
        return status == "CREATE_COMPLETE" or status.startswith(("UPDATE_", "IMPORT_"))

    def _status(self, name: str, region: str) -> str | None:
        with _errors():
            try:
                (stack,) = self._client("cloudformation", region).describe_stacks(StackName=name)["Stacks"]
            except ClientError as error:
                if error.response["Error"]["Code"] == "ValidationError":
                    return None
                raise
        return str(stack["StackStatus"])

    def delete(self, name: str, *, region: str) -> None:
        """Delete a stack and wait until it is gone.

        Raises:
            AccountError: Something of it could not be deleted; the message says what, and why.
        """
        cloudformation = self._client("cloudformation", region)
        with _errors():
            (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
            cloudformation.delete_stack(StackName=name)
            try:
                cloudformation.get_waiter("stack_delete_complete").wait(
                    StackName=stack["StackId"], WaiterConfig=_DELETED
                )
            except WaiterError:
                events = cloudformation.describe_stack_events(StackName=stack["StackId"])["StackEvents"]
                reasons = [
                    f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason given')}"
                    for event in events
                    if event["ResourceStatus"] == "DELETE_FAILED"
                ]
                why = "; ".join(reasons) or "it takes longer than an hour"
                raise AccountError(f"{name} is not deleted: {why}; mend it and run again") from None

    def _client(self, service: str, region: str | None = None) -> Any:
        return self._session.client(service, region_name=region, config=_CONFIG)


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise AccountError(
            f"AWS: {error} - check AWS_PROFILE or the AWS_* variables"
            f"{' (AWS_ENDPOINT_URL is set)' if 'AWS_ENDPOINT_URL' in os.environ else ''}"
        ) from error
