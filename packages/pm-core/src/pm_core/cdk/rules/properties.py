"""Properties of a resource, and checks that are put together from small ones."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

# All keys in lower case: a typed class says camelCase, JSON says PascalCase, and both mean the same property.
Properties = Mapping[str, Any]
# A look at one resource's properties: what is wrong and what to do about it, or None.
Check = Callable[[Properties], str | None]

# How CloudFormation's types spell that something is off; text, because booleans may be written as text.
_OFF = frozenset(
    {"", "none", "false", "off", "disable", "disabled", "inactive", "no_encryption", "unencrypted", "plaintext"}
)


def lowered(value: Any) -> Any:
    """``value`` with every key of every mapping in it in lower case."""
    if isinstance(value, Mapping):
        return {str(key).lower(): lowered(inner) for key, inner in value.items()}
    return [lowered(inner) for inner in value] if isinstance(value, list) else value


def at(properties: Properties, *path: str) -> Any:
    """The value at ``path``, whatever the case of its names; None where there is nothing."""
    value: Any = properties
    for name in path:
        value = value.get(name.lower()) if isinstance(value, Mapping) else None
    return value


def items(properties: Properties, *path: str) -> Iterator[Properties]:
    """The structures in the list at ``path``; none where it is missing or known at deployment only."""
    found = at(properties, *path)
    yield from (item for item in found if isinstance(item, Mapping)) if isinstance(found, list) else ()


def is_intrinsic(value: Any) -> bool:
    """Whether only CloudFormation knows the value: a reference or another function."""
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)).startswith(("ref", "fn::"))


def is_off(value: Any) -> bool:
    """Whether a value is missing or says no; what only CloudFormation knows is taken for a yes."""
    return not value or str(value).lower() in _OFF


def has(*path: str) -> Check:
    """Something is set at ``path``."""

    def check(properties: Properties) -> str | None:
        return None if at(properties, *path) else f"{'.'.join(path)} is missing: set it"

    return check


def equals(value: str | bool, *path: str) -> Check:
    """The value at ``path`` is ``value``."""
    return one_of((str(value).lower() if isinstance(value, bool) else value,), *path)


def one_of(allowed: tuple[str, ...], *path: str) -> Check:
    """The value at ``path`` is one of ``allowed``; a missing one is not."""
    wanted = " or ".join(allowed)

    def check(properties: Properties) -> str | None:
        found = at(properties, *path)
        if is_intrinsic(found) or str(found).lower() in {one.lower() for one in allowed}:
            return None
        return f"{'.'.join(path)} is {'missing' if found is None else found}: set it to {wanted}"

    return check


def when(condition: Callable[[Properties], bool], check: Check) -> Check:
    """``check``, for resources that meet the condition."""

    def checked(properties: Properties) -> str | None:
        return check(properties) if condition(properties) else None

    return checked


def every(*checks: Check) -> Check:
    """All of them; the first problem is told."""

    def check(properties: Properties) -> str | None:
        return next((problem for one in checks if (problem := one(properties))), None)

    return check


def either(*checks: Check) -> Check:
    """One of them is enough; otherwise all problems are told."""

    def check(properties: Properties) -> str | None:
        problems = [one(properties) for one in checks]
        return None if None in problems else "; or ".join(filter(None, problems))

    return check


def each(check: Check, *path: str) -> Check:
    """Every structure in the list at ``path``; a missing list has none."""

    def checked(properties: Properties) -> str | None:
        for item in items(properties, *path):
            if problem := check(item):
                return f"{'.'.join(path)}: {problem}"
        return None

    return checked
