from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.stub import Stubber

from pm_cutover.aws.session import AwsSession
from pm_cutover.aws.stacks import Stack, deployed_stacks

MADE = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)
CHANGED = datetime(2026, 11, 28, 10, 0, tzinfo=UTC)
PREFIX = "/pm/dev/source"
LIVE = {"CREATE_COMPLETE"}


def entry(name: str, parameters: dict[str, tuple[str, str]] | None = None, **more: Any) -> dict[str, Any]:
    read = [
        {"ParameterKey": key, "ParameterValue": path, "ResolvedValue": value}
        for key, (path, value) in (parameters or {}).items()
    ]
    identity = {"StackName": name, "StackId": f"id-of-{name}", "StackStatus": "CREATE_COMPLETE", "CreationTime": MADE}
    return {**identity, "Parameters": read, **more}


def stacks_of(*pages: list[dict[str, Any]], parameters: dict[str, str] | None = None) -> tuple[Stack, ...]:
    """What is seen when each page is another region's. Only our own may be described, and are."""
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
    aws = AwsSession(session=session)
    regions = [f"us-east-{number}" for number, _ in enumerate(pages, start=1)]
    for region, page in zip(regions, pages, strict=True):
        stub = Stubber(aws.client("cloudformation", region=region))
        summaries = [{key: one[key] for key in ("StackName", "StackId", "StackStatus", "CreationTime")} for one in page]
        stub.add_response("list_stacks", {"StackSummaries": summaries}, {})
        for one in page:
            if one["StackName"].startswith("pm-") and one["StackName"].endswith("-dev") and one["StackStatus"] in LIVE:
                stub.add_response("describe_stacks", {"Stacks": [one]}, {"StackName": one["StackId"]})
        stub.activate()
    return deployed_stacks(aws, suffix="dev", regions=regions, parameters=parameters or {})


def test_a_stack_says_its_version_and_when_it_was_deployed() -> None:
    (stack,) = stacks_of(
        [
            entry(
                "pm-data-source-dev",
                LastUpdatedTime=CHANGED,
                Outputs=[{"OutputKey": "PackageVersion", "OutputValue": "0.2.0"}],
            )
        ]
    )
    assert (stack.version, stack.deployed_at) == ("0.2.0", "2026-11-28T10:00:00+00:00")


def test_stacks_of_every_region_and_of_no_other_deployment_are_seen() -> None:
    gone = entry("pm-data-source-dev", StackStatus="DELETE_COMPLETE")
    found = stacks_of(
        [entry("pm-zone-dev"), entry("pm-zone-xdev"), entry("other-dev"), gone], [entry("pm-audit-source-dev")]
    )
    assert [stack.name for stack in found] == ["pm-audit-source-dev", "pm-zone-dev"]


def test_inputs_that_changed_since_the_deployment_are_named() -> None:
    (stack,) = stacks_of(
        [
            entry(
                "pm-compute-source-dev",
                {
                    "Same": (f"{PREFIX}/network/vpc-id", "vpc-1"),
                    "Other": (f"{PREFIX}/data/key-arn", "old"),
                    "Gone": (f"{PREFIX}/data/endpoint", "old"),
                    "Asset": ("/cdk-bootstrap/version", "9"),
                },
            )
        ],
        parameters={f"{PREFIX}/network/vpc-id": "vpc-1", f"{PREFIX}/data/key-arn": "new"},
    )
    assert stack.changed_inputs == ("source/data/endpoint", "source/data/key-arn")


def test_weights_are_run_time_state_and_no_changed_input() -> None:
    path = f"{PREFIX}/zone/weight-source"
    (stack,) = stacks_of([entry("pm-traffic-source-dev", {"Weight": (path, "100")})], parameters={path: "0"})
    assert stack.changed_inputs == ()
