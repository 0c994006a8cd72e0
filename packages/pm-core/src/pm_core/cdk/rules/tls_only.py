"""Policies that refuse requests in clear text, for what AWS also serves over HTTP."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pm_core.cdk.rules.properties import at
from pm_core.cdk.rules.resource import Neighbours, Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class _Policies:
    """Where the policies of a type are.

    Attributes:
        kind: Type of the policies.
        path: Property of a policy that names what it is about.
        actions: Any of these is everything that moves data, in lower case.
    """

    kind: str
    path: str
    actions: frozenset[str]


_POLICIES: Mapping[str, _Policies] = {
    "AWS::S3::Bucket": _Policies(kind="AWS::S3::BucketPolicy", path="Bucket", actions=frozenset({"*", "s3:*"})),
    "AWS::SNS::Topic": _Policies(
        kind="AWS::SNS::TopicPolicy", path="Topics", actions=frozenset({"*", "sns:*", "sns:publish"})
    ),
    "AWS::SQS::Queue": _Policies(kind="AWS::SQS::QueuePolicy", path="Queues", actions=frozenset({"*", "sqs:*"})),
}
_EVERY_ACTION = frozenset({"*", "elasticfilesystem:*"})


def concerns_tls_policy(kind: str) -> bool:
    """Whether a type has policies of that kind."""
    return kind in _POLICIES


def without_tls_policy(resource: Resource, neighbours: Callable[[], Neighbours]) -> str | None:
    """What is wrong when no policy of the stack denies everybody requests to ``resource`` without TLS."""
    if resource.kind not in _POLICIES:
        return None
    policies = _POLICIES[resource.kind]
    for policy in neighbours().that_mean(resource, policies.path, kinds=(policies.kind,)):
        if _denies_clear_text(at(policy.properties, "PolicyDocument"), policies.actions):
            return None
    return (
        f"no {policies.kind} denies requests without TLS: add a statement that denies every principal "
        f'{min(policies.actions - {"*"})} under the condition Bool {{"aws:SecureTransport": "false"}}'
    )


def file_system_without_tls_policy(properties: Mapping[str, Any]) -> str | None:
    """The same for a file system, which carries its policy itself."""
    if _denies_clear_text(at(properties, "FileSystemPolicy"), _EVERY_ACTION):
        return None
    return (
        "FileSystemPolicy does not deny mounts without TLS: deny every principal every action under the condition "
        'Bool {"aws:SecureTransport": "false"}'
    )


def _denies_clear_text(document: Any, actions: frozenset[str]) -> bool:
    for statement in _as_list(at(document or {}, "Statement")):
        principal = at(statement, "Principal")
        everybody = principal == "*" or "*" in _as_list(
            at(principal, "AWS") if isinstance(principal, Mapping) else None
        )
        condition = _as_list(at(statement, "Condition", "Bool", "aws:SecureTransport"))
        if (
            everybody
            and at(statement, "Effect") == "Deny"
            and [str(value).lower() for value in condition] == ["false"]
            and any(str(action).lower() in actions for action in _as_list(at(statement, "Action")))
        ):
            return True
    return False


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
