"""What the service knows about, per account and region, and how requests ask for it."""

import base64
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from pm_rehearsal.cloud.extension import ServiceError

Attributes = dict[str, Any]
Scope = tuple[str, str]


class Resource:
    """One resource.

    Attributes:
        attributes: What describing it answers, in the API's own shape.
    """

    def __init__(self, attributes: Attributes) -> None:
        self.attributes = attributes

    def __getitem__(self, name: str) -> Any:
        return self.attributes[name]


R = TypeVar("R", bound=Resource)


class Shelf(Generic[R]):
    """All resources of one kind.

    Args:
        scope: The caller's (account, region).
        what: The kind in words, for messages.
        keys: Attributes by which one is found; the first one is unique.
    """

    def __init__(self, scope: Callable[[], Scope], *, what: str, keys: tuple[str, ...]) -> None:
        self._scope = scope
        self._what = what
        self._keys = keys
        self._resources: dict[tuple[Scope, str], R] = {}
        self._lock = threading.Lock()

    def add(self, resource: R) -> R:
        """Keep a new one."""
        key = (self._scope(), resource[self._keys[0]])
        with self._lock:
            if key in self._resources:
                raise ServiceError("ResourceAlreadyExistsFault", f"{self._what} {key[1]} already exists")
            self._resources[key] = resource
        return resource

    def get(self, value: str) -> R:
        """The one with this identifier or ARN."""
        for resource in self.all():
            if value in (resource[key] for key in self._keys):
                return resource
        raise ServiceError("ResourceNotFoundFault", f"{self._what} {value} was not found")

    def all(self) -> list[R]:
        """Those of the caller's account and region."""
        scope = self._scope()
        with self._lock:
            return [resource for (owner, _), resource in self._resources.items() if owner == scope]

    def everywhere(self) -> list[R]:
        """Those of every account and region."""
        with self._lock:
            return list(self._resources.values())

    def remove(self, resource: R) -> None:
        """Forget one."""
        with self._lock:
            self._resources = {key: kept for key, kept in self._resources.items() if kept is not resource}

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._resources.clear()


def check(request: Mapping[str, Any], *, required: Iterable[str] = (), optional: Iterable[str] = ()) -> None:
    """Refuse what an action would ignore.

    Raises:
        ServiceError: Names the parameter.
    """
    required = tuple(required)
    missing = [name for name in required if request.get(name) in (None, "")]
    if missing:
        raise ServiceError("InvalidParameterValueException", f"{', '.join(missing)} must be given")
    known = {*required, *optional}
    unknown = sorted(name for name in request if name not in known)
    if unknown:
        raise ServiceError(
            "InvalidParameterValueException",
            f"{', '.join(unknown)} is not supported by the embedded AWS; {', '.join(sorted(known))} are",
        )


def describe(
    resources: Iterable[Resource], request: Mapping[str, Any], result: str, filters: Mapping[str, str]
) -> Attributes:
    """Answer a Describe action: filtered, one page after the other.

    Args:
        resources: All of the caller's.
        request: May hold Filters, MaxRecords and Marker.
        result: The list's name in the answer.
        filters: Attribute by filter name.

    Raises:
        ServiceError: An unknown filter, or one that nothing matches (which DMS calls an error).
    """
    found = [dict(resource.attributes) for resource in resources]
    for wanted in request.get("Filters") or []:
        if wanted["Name"] not in filters:
            raise ServiceError(
                "InvalidParameterValueException",
                f"filter {wanted['Name']} is not supported; {', '.join(sorted(filters))} are",
            )
        attribute, values = filters[wanted["Name"]], {value.lower() for value in wanted["Values"]}
        found = [one for one in found if str(one.get(attribute, "")).lower() in values]
    if request.get("Filters") and not found:
        raise ServiceError("ResourceNotFoundFault", f"no {result} match the filters")
    return page(found, request, result)


def page(found: list[Attributes], request: Mapping[str, Any], result: str) -> Attributes:
    """One page of a list; the marker is the offset of the next."""
    start, size = int(request.get("Marker") or 0), int(request.get("MaxRecords") or 100)
    answer: Attributes = {result: found[start : start + size]}
    if start + size < len(found):
        answer["Marker"] = str(start + size)
    return answer


def resource_id(request: Mapping[str, Any]) -> str:
    """The last part of a new resource's ARN: ``ResourceIdentifier`` when given, else 26 random characters as on AWS."""
    return request.get("ResourceIdentifier") or base64.b32encode(secrets.token_bytes(17)).decode()[:26]
