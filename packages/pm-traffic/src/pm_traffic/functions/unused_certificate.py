"""The function behind UnusedCertificate: waits until nobody uses a certificate any more, when its stack goes.

ACM goes on naming a load balancer for seconds to minutes after it was deleted, and refuses to delete its certificate
meanwhile.

Source: aws-cdk #4179.
"""

import time
from typing import Any

import boto3
from botocore.config import Config

from pm_core.custom_resources import LOG, Outcome, Request, answers, goes

_AWS = Config(connect_timeout=5, read_timeout=30, retries={"max_attempts": 8, "mode": "adaptive"})
LOOK_SECONDS = 2.0


class StillInUseError(TimeoutError):
    """Somebody else uses the certificate, or ACM still believes so; the message says who."""


def wait_until_unused(acm: Any, arn: str, *, seconds: float) -> None:
    """Look until ACM names no user of a certificate; one that is gone has none.

    Raises:
        StillInUseError: Somebody uses it when ``seconds`` have nearly passed.
    """
    deadline = time.monotonic() + seconds
    while users := _users(acm, arn):
        # In time: at the deadline the request is answered without a reason.
        if time.monotonic() + LOOK_SECONDS >= deadline:
            raise StillInUseError(
                f"{arn} is still used by {', '.join(users)} after {seconds:.0f} s: delete those, then the stack again"
            )
        LOG.info("%s is still used by %s", arn, ", ".join(users))
        time.sleep(LOOK_SECONDS)


def _users(acm: Any, arn: str) -> list[str]:
    """ARNs of what uses a certificate."""
    try:
        return list(acm.describe_certificate(CertificateArn=arn)["Certificate"].get("InUseBy", ()))
    except acm.exceptions.ResourceNotFoundException:
        return []


def work(request: Request) -> Outcome:
    """One request of CloudFormation. Properties: CertificateArn. Only a Delete with the stack waits."""
    arn = request.properties["CertificateArn"]
    if request.kind == "Delete":
        if goes(boto3.client("cloudformation", config=_AWS), request.stack_id):
            wait_until_unused(boto3.client("acm", config=_AWS), arn, seconds=request.seconds)
            LOG.info("nobody uses %s", arn)
        else:
            LOG.info("%s may still be in use: its stack is not being deleted", arn)
    return Outcome(physical_id=f"unused:{arn}")


handle = answers(work)
