"""boto3 clients of one region, made once, and AWS errors in one line."""

import os
from threading import Lock
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

from pm_cutover.errors import PmError, RefusedError, UsageError

_CONFIG = Config(
    connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3}, max_pool_connections=20
)


class AwsSession:
    """Clients by service name; credentials, region and endpoint come from the AWS SDK's usual chain.

    Args:
        session: Default: a session of the process's environment.

    Raises:
        UsageError: No region is configured.
    """

    def __init__(self, *, session: Any = None) -> None:
        # boto3 itself reads AWS_DEFAULT_REGION only; every other SDK and the CDK read AWS_REGION.
        self._session = session or boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = Lock()
        if not self._session.region_name:
            raise UsageError("no AWS region is configured: set AWS_REGION, for example AWS_REGION=us-east-1")

    @property
    def region(self) -> str:
        """The region of every client that is not asked for in another one."""
        return str(self._session.region_name)

    def client(self, service: str, *, region: str | None = None) -> Any:
        """The client of a service, for example ``dms``; safe to share between threads."""
        key = (service, region or self.region)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._session.client(service, region_name=key[1], config=_CONFIG)
            return self._clients[key]


def error_code(error: ClientError) -> str:
    """AWS's name of an error, for example ``InvalidResourceStateFault``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def as_pm_error(error: BotoCoreError | ClientError) -> PmError:
    """The one line that an operator reads for an error of the AWS SDK."""
    if isinstance(error, NoRegionError):
        return UsageError("no AWS region is configured: set AWS_REGION, for example AWS_REGION=us-east-1")
    if isinstance(error, ClientError):
        message = error.response.get("Error", {}).get("Message", str(error))
        advice = "check the caller's permissions" if "AccessDenied" in error_code(error) else "correct it and run again"
        return RefusedError(f"AWS refused {error.operation_name} ({error_code(error)}): {message} - {advice}")
    return RefusedError(f"AWS did not answer: {error} - check credentials, AWS_REGION and AWS_ENDPOINT_URL")
