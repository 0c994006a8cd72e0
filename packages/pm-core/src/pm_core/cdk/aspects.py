"""What every resource of every stack must satisfy, whoever adds it: encrypted, and gone with its stack.

Both aspects only look: constructs are right by their own defaults, and a violation is an error that stops synthesis and
names the resource. What they ask for is in :mod:`pm_core.cdk.rules`.
"""

from collections.abc import Callable, Iterator
from functools import cache, cached_property

import aws_cdk as cdk
import jsii
from constructs import IConstruct

from pm_core.cdk.rules import (
    SSE_S3_EXEMPTION,
    Neighbours,
    concerns_lifetime,
    concerns_rest,
    concerns_transit,
    undying,
    unencrypted_at_rest,
    unencrypted_in_transit,
)
from pm_core.cdk.rules.properties import Properties, at, lowered

# What CloudFormation snapshots on deletion unless it is told to delete. Source: CloudFormation, DeletionPolicy.
_SNAPSHOT_BY_DEFAULT = {"AWS::RDS::DBCluster", "AWS::RDS::DBInstance"}


def apply_aspects(stack: cdk.Stack, *, database_tls: bool = True) -> None:
    """Have both aspects look at a stack, after everything that changes it.

    Args:
        stack: The stack.
        database_tls: As in :class:`EncryptionAspect`.
    """
    for aspect in (EncryptionAspect(database_tls=database_tls), DestroyableAspect()):
        cdk.Aspects.of(stack).add(aspect, priority=cdk.AspectPriority.READONLY)


def encrypted_with_sse_s3(bucket: cdk.CfnResource, *, reason: str) -> None:
    """Let one bucket be encrypted with SSE-S3; the reason is in its metadata, for auditors."""
    bucket.add_metadata(SSE_S3_EXEMPTION, reason)


@jsii.implements(cdk.IAspect)
class EncryptionAspect:
    """Refuses a resource that would hold data in clear text, or let it travel in clear text.

    Types that nobody thought of are found by CloudFormation's own schema; see :mod:`pm_core.cdk.rules.at_rest`.

    Args:
        database_tls: Whether the PostgreSQL servers have TLS. Without it parameter groups of PostgreSQL and DMS
            endpoints to PostgreSQL are not asked for TLS, and nothing else is let through.
    """

    def __init__(self, *, database_tls: bool = True) -> None:
        self._database_tls = database_tls
        self._stacks = _Stacks()

    def visit(self, node: IConstruct) -> None:
        """Look at one construct; called by CDK."""
        if not isinstance(node, cdk.CfnResource):
            return
        kind = _kind(node)
        if not (concerns_rest(kind) or concerns_transit(kind)):
            return
        resource, neighbours = _Construct(node), self._stacks.of(node)
        if problem := unencrypted_at_rest(resource):
            cdk.Annotations.of(node).add_error(
                f"{resource.kind} is not encrypted: {problem}. Everything that holds data is encrypted"
            )
        if problem := unencrypted_in_transit(resource, neighbours, database_tls=self._database_tls):
            cdk.Annotations.of(node).add_error(
                f"{resource.kind} lets data travel in clear text: {problem}. All traffic is encrypted"
            )


@jsii.implements(cdk.IAspect)
class DestroyableAspect:
    """Refuses a resource that would outlive its stack, or keep it from being deleted."""

    def __init__(self) -> None:
        self._stacks = _Stacks()

    def visit(self, node: IConstruct) -> None:
        """Look at one construct; called by CDK."""
        if isinstance(node, cdk.Stack) and node.termination_protection:
            cdk.Annotations.of(node).add_error("stack cannot be deleted: termination_protection is on. Switch it off")
        if not isinstance(node, cdk.CfnResource):
            return
        resource = _Construct(node)
        for name, policy in _policies(node, resource):
            if policy != cdk.CfnDeletionPolicy.DELETE:
                cdk.Annotations.of(node).add_error(
                    f"{resource.kind} outlives its stack: {name} is {policy.value}. Set RemovalPolicy.DESTROY"
                )
        if concerns_lifetime(resource.kind):
            for problem in undying(resource, self._stacks.of(node)):
                cdk.Annotations.of(node).add_error(f"{resource.kind} does not go with its stack: {problem}")


def _policies(node: cdk.CfnResource, resource: "_Construct") -> Iterator[tuple[str, cdk.CfnDeletionPolicy]]:
    options = node.cfn_options
    default = cdk.CfnDeletionPolicy.DELETE
    if resource.kind in _SNAPSHOT_BY_DEFAULT and at(resource.properties, "DBClusterIdentifier") is None:
        default = cdk.CfnDeletionPolicy.SNAPSHOT
    yield "DeletionPolicy", options.deletion_policy or default
    yield "UpdateReplacePolicy", options.update_replace_policy or default


class _Construct:
    """A construct as the rules see it: each question to CDK costs a millisecond, and is asked when a rule needs it."""

    def __init__(self, node: cdk.CfnResource) -> None:
        self._node = node

    @cached_property
    def kind(self) -> str:
        return _kind(self._node)

    @cached_property
    def logical_id(self) -> str:
        return str(cdk.Stack.of(self._node).resolve(self._node.logical_id))

    @cached_property
    def properties(self) -> Properties:
        """Whether written with a typed class or as JSON.

        Overrides of single properties are applied after all aspects and cannot be seen.
        """
        resolved: Properties = lowered(cdk.Stack.of(self._node).resolve(self._node._cfn_properties))
        return resolved

    @cached_property
    def exemptions(self) -> frozenset[str]:
        return frozenset(self._node.cfn_options.metadata or {})


def _kind(node: cdk.CfnResource) -> str:
    # A generated class knows its type; the plain one is asked.
    return _kind_of_class(type(node)) or node.cfn_resource_type


@cache
def _kind_of_class(kind: type) -> str | None:
    name: str | None = getattr(kind, "CFN_RESOURCE_TYPE_NAME", None)
    return name


class _Stacks:
    """The resources of each stack, looked up once."""

    def __init__(self) -> None:
        self._known: dict[str, Neighbours] = {}

    def of(self, node: cdk.CfnResource) -> Callable[[], Neighbours]:
        """All resources of the stack of ``node``; looked up when they are asked for."""

        def look() -> Neighbours:
            stack = cdk.Stack.of(node)
            path = stack.node.path
            if path not in self._known:
                self._known[path] = Neighbours(
                    _Construct(one) for one in stack.node.find_all() if isinstance(one, cdk.CfnResource)
                )
            return self._known[path]

        return look
