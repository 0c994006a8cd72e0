"""Permissions on a bucket's objects, each with the one wildcard that they need and its reason."""

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import IConstruct

from pm_core.cdk.acknowledgements import acknowledge


def object_statement(
    policy: IConstruct,
    *,
    bucket: s3.IBucket,
    actions: Sequence[str],
    reason: str,
    prefix: str = "",
    conditions: Mapping[str, object] | None = None,
) -> iam.PolicyStatement:
    """A statement about the objects of one bucket, and the acknowledgement that it names them with a wildcard.

    Args:
        policy: The policy that the statement goes into.
        bucket: Whose objects.
        actions: What is allowed.
        reason: Why all objects below the prefix are meant.
        prefix: Of the keys, with its slash.
        conditions: Further conditions.
    """
    arn = bucket.arn_for_objects(f"{prefix}*")
    acknowledge_wildcard(policy, arn, reason)
    return iam.PolicyStatement(actions=list(actions), resources=[arn], conditions=conditions)


def acknowledge_wildcard(policy: IConstruct, arn: str, reason: str) -> None:
    """Acknowledge the one finding about ``arn`` in ``policy``."""
    resolved = cdk.Stack.of(policy).resolve(arn)
    acknowledge(policy, f"AwsSolutions-IAM5[Resource::{_flattened(resolved)}]", reason=reason)


def _flattened(value: object) -> str:
    """A reference as the rule packs print it: ``<LogicalId.Attribute>``."""
    if isinstance(value, str):
        return value
    assert isinstance(value, dict), value  # noqa: S101 - what resolve() gives for a string
    ((function, argument),) = value.items()
    if function == "Fn::Join":
        return str(argument[0]).join(_flattened(part) for part in argument[1])
    if function == "Fn::GetAtt":
        return f"<{'.'.join(argument)}>"
    return f"<{argument}>"
