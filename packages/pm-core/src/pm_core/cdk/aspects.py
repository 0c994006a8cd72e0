"""What every resource of every stack must satisfy, whoever adds it: encrypted, and gone with its stack.

Both aspects only look: constructs are right by their own defaults, and a violation is an error that stops synthesis and
names the resource. What they ask for is in :mod:`pm_core.cdk.rules`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from typing import Any

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
_DELETE = "Delete"


def apply_aspects(stack: cdk.Stack, *, database_tls: bool = True) -> None:
    """Have both aspects look at a stack, after everything that changes it.

    Args:
        stack: The stack.
        database_tls: As in :class:`EncryptionAspect`.
    """
    both = _Together(EncryptionAspect(database_tls=database_tls), DestroyableAspect())
    cdk.Aspects.of(stack).add(both, priority=cdk.AspectPriority.READONLY)


def encrypted_with_sse_s3(bucket: cdk.CfnResource, *, reason: str) -> None:
    """Let one bucket be encrypted with SSE-S3; the reason is in its metadata, for auditors."""
    bucket.add_metadata(SSE_S3_EXEMPTION, reason)


@jsii.implements(cdk.IAspect)
class _Aspect(ABC):
    """A look at constructs that several aspects can take together."""

    def __init__(self) -> None:
        self._stacks = _Stacks()

    def visit(self, node: IConstruct) -> None:
        """Look at one construct; called by CDK."""
        self.look(node, self._stacks.resource(node), self._stacks)

    @abstractmethod
    def look(self, node: IConstruct, resource: "_Construct | None", stacks: "_Stacks") -> None:
        """Annotate ``node`` with what is wrong.

        Args:
            node: The construct.
            resource: The same as the rules see it, if it is a resource.
            stacks: The other resources.
        """


class _Together(_Aspect):
    """Several aspects as one: CDK calls for each construct and aspect, and every call and question costs."""

    def __init__(self, *aspects: _Aspect) -> None:
        super().__init__()
        self._aspects = aspects

    def look(self, node: IConstruct, resource: "_Construct | None", stacks: "_Stacks") -> None:
        for aspect in self._aspects:
            aspect.look(node, resource, stacks)


class EncryptionAspect(_Aspect):
    """Refuses a resource that would hold data in clear text, or let it travel in clear text.

    Types that nobody thought of are found by CloudFormation's own schema; see :mod:`pm_core.cdk.rules.at_rest`.

    Args:
        database_tls: Whether the PostgreSQL servers have TLS. Without it parameter groups of PostgreSQL and DMS
            endpoints to PostgreSQL are not asked for TLS, and nothing else is let through.
    """

    def __init__(self, *, database_tls: bool = True) -> None:
        super().__init__()
        self._database_tls = database_tls

    def look(self, node: IConstruct, resource: "_Construct | None", stacks: "_Stacks") -> None:
        """Annotate a resource that is not encrypted."""
        if resource is None:
            return
        if concerns_rest(resource.kind) and (problem := unencrypted_at_rest(resource)):
            cdk.Annotations.of(node).add_error(
                f"{resource.kind} is not encrypted: {problem}. Everything that holds data is encrypted"
            )
        if concerns_transit(resource.kind) and (
            problem := unencrypted_in_transit(resource, stacks.of(resource), database_tls=self._database_tls)
        ):
            cdk.Annotations.of(node).add_error(
                f"{resource.kind} lets data travel in clear text: {problem}. All traffic is encrypted"
            )


class DestroyableAspect(_Aspect):
    """Refuses a resource that would outlive its stack, or keep it from being deleted."""

    def look(self, node: IConstruct, resource: "_Construct | None", stacks: "_Stacks") -> None:
        """Annotate a stack or a resource that would stay."""
        if isinstance(node, cdk.Stack) and node.termination_protection:
            cdk.Annotations.of(node).add_error("stack cannot be deleted: termination_protection is on. Switch it off")
        if resource is None:
            return
        for name, policy in _policies(resource):
            if policy != _DELETE:
                cdk.Annotations.of(node).add_error(
                    f"{resource.kind} outlives its stack: {name} is {policy}. Set RemovalPolicy.DESTROY"
                )
        if concerns_lifetime(resource.kind):
            for problem in undying(resource, stacks.of(resource)):
                cdk.Annotations.of(node).add_error(f"{resource.kind} does not go with its stack: {problem}")


def _policies(resource: "_Construct") -> Iterator[tuple[str, str]]:
    default = _DELETE
    if resource.kind in _SNAPSHOT_BY_DEFAULT and at(resource.properties, "DBClusterIdentifier") is None:
        default = "Snapshot"
    yield "DeletionPolicy", resource.options.get("deletionPolicy", default)
    yield "UpdateReplacePolicy", resource.options.get("updateReplacePolicy", default)


class _Construct:
    """A construct as the rules see it: each question to CDK costs a millisecond, and is asked when a rule needs it.

    Args:
        node: The resource.
        some_stack: Any stack, to resolve what holds no tokens: asking each resource for its own costs as much again.
    """

    def __init__(self, node: cdk.CfnResource, some_stack: cdk.Stack) -> None:
        self._node, self._some_stack = node, some_stack

    @cached_property
    def kind(self) -> str:
        # A generated class knows its type; the plain one is asked.
        return _kind_of_class(type(self._node)) or self._node.cfn_resource_type

    @cached_property
    def stack(self) -> cdk.Stack:
        return self._node.stack

    @cached_property
    def logical_id(self) -> str:
        return str(self.stack.resolve(self._node.logical_id))

    @cached_property
    def properties(self) -> Properties:
        """Whether written with a typed class or as JSON.

        Overrides of single properties are applied after all aspects and cannot be seen.
        """
        resolved: Properties = lowered(self.stack.resolve(self._node._cfn_properties))
        return resolved

    @cached_property
    def options(self) -> Mapping[str, Any]:
        """The policies and the metadata, all in one answer: of an object by reference jsii asks twice for each."""
        resolved: Mapping[str, Any] = self._some_stack.resolve(self._node.cfn_options)
        return resolved

    @cached_property
    def exemptions(self) -> frozenset[str]:
        return frozenset(self.options.get("metadata", {}))


@cache
def _kind_of_class(kind: type) -> str | None:
    name: str | None = getattr(kind, "CFN_RESOURCE_TYPE_NAME", None)
    return name


class _Stacks:
    """The resources of each stack, looked up once."""

    def __init__(self) -> None:
        self._known: dict[str, Neighbours] = {}
        self._some_stack: cdk.Stack | None = None

    def resource(self, node: IConstruct) -> _Construct | None:
        """``node`` as the rules see it, if it is a resource."""
        if not isinstance(node, cdk.CfnResource):
            return None
        self._some_stack = self._some_stack or node.stack
        return _Construct(node, self._some_stack)

    def of(self, resource: _Construct) -> Callable[[], Neighbours]:
        """All resources of the stack of ``resource``; looked up when they are asked for."""

        def look() -> Neighbours:
            path = resource.stack.node.path
            if path not in self._known:
                found = map(self.resource, resource.stack.node.find_all())
                self._known[path] = Neighbours(one for one in found if one is not None)
            return self._known[path]

        return look
