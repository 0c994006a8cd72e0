"""The module that AWS puts beside inline Lambda code: sends a custom resource's answer to CloudFormation."""

import json
import urllib.request
from typing import Any

SUCCESS = "SUCCESS"
FAILED = "FAILED"
ANSWER_SECONDS = 30


def send(
    event: dict[str, Any],
    context: Any,
    responseStatus: str,  # noqa: N803 - AWS's signature
    responseData: dict[str, Any] | None,  # noqa: N803 - AWS's signature
    physicalResourceId: str | None = None,  # noqa: N803 - AWS's signature
    noEcho: bool = False,  # noqa: N803 - AWS's signature
    reason: str | None = None,
) -> None:
    """PUT the answer to the event's ``ResponseURL``."""
    answer = {
        "Status": responseStatus,
        "Reason": reason or f"See the details in CloudWatch Log Stream: {context.log_stream_name}",
        "PhysicalResourceId": physicalResourceId or context.log_stream_name,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "NoEcho": noEcho,
        "Data": responseData or {},
    }
    request = urllib.request.Request(  # noqa: S310 - CloudFormation's own URL
        event["ResponseURL"], data=json.dumps(answer).encode(), method="PUT", headers={"content-type": ""}
    )
    urllib.request.urlopen(request, timeout=ANSWER_SECONDS).close()  # noqa: S310 - as above
