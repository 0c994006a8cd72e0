"""What a release may change about a contract: everything that readers of the one before do not notice."""

from collections.abc import Iterable, Mapping
from typing import Any

from pm_core.contracts import Contract

Published = Mapping[str, Mapping[str, Any]]


def described(contracts: Iterable[type[Contract]]) -> dict[str, dict[str, Any]]:
    """Contracts as ``contracts.json`` holds them: name to ``{version, fields: {name: text|list}}``."""
    return {
        contract.__name__: {
            "version": contract.version,
            "fields": {name: "list" if contract.is_list(name) else "text" for name in contract.field_names()},
        }
        for contract in contracts
    }


def breaks(released: Published, current: Published) -> tuple[str, ...]:
    """What readers of the released contracts would stumble over, one line each, without having been warned.

    A raised version is the warning: such readers refuse the contract instead of going wrong.
    """
    found = []
    for name, before in released.items():
        now = current.get(name)
        if now is None:
            found.append(f"{name} is gone: keep publishing it, its readers are deployed")
            continue
        if now["version"] < before["version"]:
            found.append(f"{name} goes back from version {before['version']} to {now['version']}")
        if now["version"] != before["version"]:
            continue
        for field, kind in before["fields"].items():
            if now["fields"].get(field) != kind:
                change = "went away" if field not in now["fields"] else f"is a {now['fields'][field]}, was a {kind}"
                found.append(f"{name}: field {field} {change}; raise its version to {before['version'] + 1}")
    return tuple(found)


def raised(released: Published, current: Published) -> tuple[str, ...]:
    """The contracts that have another version than the released one."""
    return tuple(name for name, before in released.items() if current.get(name, before)["version"] != before["version"])
