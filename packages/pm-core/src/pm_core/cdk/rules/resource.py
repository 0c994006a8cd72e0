"""A resource as a template would say it, and the others of its stack."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from pm_core.cdk.rules.properties import Properties, at


class Resource(Protocol):
    """One resource of a template."""

    @property
    def kind(self) -> str:
        """Its CloudFormation type."""
        ...

    @property
    def logical_id(self) -> str:
        """Its name in the template."""
        ...

    @property
    def properties(self) -> Properties:
        """Its properties, keys in lower case."""
        ...

    @property
    def exemptions(self) -> frozenset[str]:
        """Rules that it may break, in its metadata, with a reason."""
        ...


class Neighbours:
    """All resources of one stack, by type."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._by_kind: dict[str, list[Resource]] = {}
        for resource in resources:
            self._by_kind.setdefault(resource.kind, []).append(resource)

    def of(self, *kinds: str) -> Iterator[Resource]:
        """Those of the given types."""
        for kind in kinds:
            yield from self._by_kind.get(kind, ())

    def that_mean(self, resource: Resource, *path: str, kinds: tuple[str, ...]) -> Iterator[Resource]:
        """Those of the given types that name ``resource``, alone or in a list, at ``path``."""
        for other in self.of(*kinds):
            value = at(other.properties, *path)
            if any(means(one, resource) for one in (value if isinstance(value, list) else [value])):
                yield other


def means(reference: Any, resource: Resource) -> bool:
    """Whether a value in another resource's properties names ``resource``, by reference or by the name it was given."""
    if isinstance(reference, Mapping):
        target = reference.get("ref", reference.get("fn::getatt"))
        return bool((target[0] if isinstance(target, list) else target) == resource.logical_id)
    return isinstance(reference, str) and any(
        key.endswith("name") and value == reference for key, value in resource.properties.items()
    )
