"""CloudFormation resource types, as a subsystem of the embedded AWS writes and wraps them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

Properties = Mapping[str, Any]
Provisioned = tuple[str, dict[str, Any]]  # physical id, attributes for Fn::GetAtt


class UnsupportedPropertyError(ValueError):
    """A template uses a property that the embedded AWS would ignore."""


class Provider(ABC):
    """One CloudFormation resource type. Its methods run on a worker thread, in the stack's account and region.

    Attributes:
        type_name: For example ``AWS::EC2::EIP``.
        properties: Every property that is honoured; any other is refused with its name.
        replace_on: Properties whose change replaces the resource. ``update`` is only called when none of them changed.
    """

    type_name: ClassVar[str]
    properties: ClassVar[frozenset[str]]
    replace_on: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def create(self, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        """Make the resource; any exception fails it with the exception's text."""

    def update(
        self, physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str
    ) -> Provisioned:
        """Change the resource in place. Default: a new one; the old one is deleted once the stack's update succeeds."""
        del physical_id, old
        return self.create(logical_id, new, stack_name)

    @abstractmethod
    def delete(self, physical_id: str, properties: Properties) -> None:
        """Remove the resource; one that is already gone is not an error."""


class CreateHandler(Protocol):
    """MiniStack's own create, as a wrapper gets it."""

    def __call__(self, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        """Create."""


class UpdateHandler(Protocol):
    """MiniStack's own update; where it has none, its create (which is what MiniStack falls back to)."""

    def __call__(
        self, physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str
    ) -> Provisioned:
        """Update."""


class DeleteHandler(Protocol):
    """MiniStack's own delete."""

    def __call__(self, physical_id: str, properties: Properties) -> None:
        """Delete."""


CreateWrapper = Callable[[CreateHandler, str, Properties, str], Provisioned]
UpdateWrapper = Callable[[UpdateHandler, str, Properties, Properties, str, str], Provisioned]
DeleteWrapper = Callable[[DeleteHandler, str, Properties], None]


def refuse_unknown(kind: type[Provider], properties: Properties) -> None:
    """Raise ``UnsupportedPropertyError`` for properties that a provider does not honour."""
    unknown = sorted(set(properties) - kind.properties)
    if unknown:
        raise UnsupportedPropertyError(
            f"{kind.type_name}: property {', '.join(unknown)} is not supported by the embedded AWS; "
            f"it honours {', '.join(sorted(kind.properties))}"
        )


def plain_update(handler: Mapping[str, Any], create: Callable[..., Provisioned]) -> UpdateHandler:
    """MiniStack's update of a type in one shape, whether it has one and wants the logical id or not."""
    original, with_logical_id = handler.get("update"), handler.get("update_with_logical_id", False)

    def update(physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str) -> Provisioned:
        if original is None:
            return create(logical_id, new, stack_name)
        extra = (logical_id,) if with_logical_id else ()
        result: Provisioned = original(physical_id, old, new, stack_name, *extra)
        return result

    return update
