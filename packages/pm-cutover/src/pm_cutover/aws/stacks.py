"""Which stacks a deployment has, from which package version, and what changed since they were deployed."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from pm_core.contracts import ZoneContract, parameter_prefix
from pm_cutover.aws.session import AwsSession

VERSION_OUTPUT = "PackageVersion"
_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """One CloudFormation stack.

    Attributes:
        name: Its name.
        status: CloudFormation's word, for example ``UPDATE_COMPLETE``.
        version: The version of the package it was made from; empty when the stack does not say.
        deployed_at: UTC, ISO 8601: when it was last created or changed.
        changed_inputs: Parameters that it reads and that hold something else by now, or nothing; without the prefix of
            the deployment. CloudFormation reads them when a stack is deployed: it works with the old values until then.
    """

    name: str
    status: str
    version: str
    deployed_at: str
    changed_inputs: tuple[str, ...]


def deployed_stacks(
    aws: AwsSession, *, suffix: str, regions: Iterable[str], parameters: Mapping[str, str]
) -> tuple[Stack, ...]:
    """Every stack of the deployment, by name.

    Each is described by itself: whoever describes all at once must be allowed to read every stack of the account.

    Args:
        aws: The account.
        suffix: The deployment.
        regions: Where to look.
        parameters: What is published now, by path.
    """
    ids = [
        (region, entry["StackId"])
        for region in regions
        for page in aws.client("cloudformation", region=region).get_paginator("list_stacks").paginate()
        for entry in page["StackSummaries"]
        if entry["StackName"].startswith("pm-")
        and entry["StackName"].endswith(f"-{suffix}")
        and entry["StackStatus"] != "DELETE_COMPLETE"
    ]
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        entries = list(pool.map(lambda found: _described(aws, *found), ids))
    return tuple(sorted((_stack(entry, suffix, parameters) for entry in entries), key=lambda stack: stack.name))


def _described(aws: AwsSession, region: str, stack_id: str) -> Mapping[str, Any]:
    entry: Mapping[str, Any]
    (entry,) = aws.client("cloudformation", region=region).describe_stacks(StackName=stack_id)["Stacks"]
    return entry


def _stack(entry: Mapping[str, Any], suffix: str, parameters: Mapping[str, str]) -> Stack:
    outputs = {output["OutputKey"]: output["OutputValue"] for output in entry.get("Outputs", ())}
    deployed_at = entry.get("LastUpdatedTime", entry["CreationTime"])
    return Stack(
        name=entry["StackName"],
        status=entry["StackStatus"],
        version=outputs.get(VERSION_OUTPUT, ""),
        deployed_at=deployed_at.astimezone(UTC).isoformat(timespec="seconds"),
        changed_inputs=tuple(_changed(entry, suffix, parameters)),
    )


def _changed(entry: Mapping[str, Any], suffix: str, parameters: Mapping[str, str]) -> list[str]:
    """Source: CloudFormation API, Parameter: ParameterValue is the path, ResolvedValue what the stack uses."""
    prefix = parameter_prefix(suffix)
    # Whoever writes these also writes the records: the stack has nothing to catch up with.
    weights = {ZoneContract.path(suffix, "source", field) for field in ("weight_source", "weight_target")}
    return sorted(
        path.removeprefix(prefix)
        for parameter in entry.get("Parameters", ())
        if (path := parameter["ParameterValue"]).startswith(prefix)
        and path not in weights
        and "ResolvedValue" in parameter
        and parameter["ResolvedValue"] != parameters.get(path)
    )
