"""Which stacks a deployment has, in which state and from which package version."""

from dataclasses import dataclass

from pm_cutover.aws.session import AwsSession

VERSION_OUTPUT = "PackageVersion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """One CloudFormation stack.

    Attributes:
        name: Its name.
        status: CloudFormation's word, for example ``UPDATE_COMPLETE``.
        version: The version of the package it was made from; empty when the stack does not say.
    """

    name: str
    status: str
    version: str


def deployed_stacks(aws: AwsSession, *, suffix: str) -> tuple[Stack, ...]:
    """Every stack of the deployment in the session's region, by name."""
    pages = aws.client("cloudformation").get_paginator("describe_stacks").paginate()
    stacks = [
        Stack(
            name=entry["StackName"],
            status=entry["StackStatus"],
            version=next(
                (output["OutputValue"] for output in entry.get("Outputs", ()) if output["OutputKey"] == VERSION_OUTPUT),
                "",
            ),
        )
        for page in pages
        for entry in page["Stacks"]
        if entry["StackName"].startswith("pm-") and entry["StackName"].endswith(f"-{suffix}")
    ]
    return tuple(sorted(stacks, key=lambda stack: stack.name))
