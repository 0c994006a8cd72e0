"""What must fit before a stack is deployed: what it reads is there, and what others read of it stays.

A producer is named by its address ``<environment>/<tier>``, the part of a parameter's path behind the prefix.
"""

from collections.abc import Iterator, Mapping, Sequence

from pm_core import stack_id, version_problem
from pm_delivery.account import Reader
from pm_delivery.assembly import Template

_SHOWN = 3


def version_path(prefix: str, address: str) -> str:
    """The parameter that holds the version of a producer's contract."""
    return f"{prefix}{address}/contract-version"


def stack_of(address: str) -> str:
    """Id of the stack at an address."""
    environment, _, tier = address.partition("/")
    return stack_id(tier, environment)


def producers(template: Template) -> dict[str, tuple[str, ...]]:
    """Which parameters a stack reads, by producer."""
    found: dict[str, tuple[str, ...]] = {}
    for path in template.inputs:
        address = _address(path, template.prefix)
        found[address] = (*found.get(address, ()), path)
    return found


def unmet(template: Template, parameters: Mapping[str, str], *, absent: Sequence[str] = ()) -> tuple[str, ...]:
    """Why a stack cannot be deployed now: one line for each stack that must be deployed before.

    Args:
        template: The stack.
        parameters: What is published, contract versions included.
        absent: Ids of stacks that it needs, reads nothing of, and that are not deployed.
    """
    found = [f"{template.stack} needs {one}, which is not deployed: deploy {one} first" for one in absent]
    for address, paths in producers(template).items():
        producer = stack_of(address)
        missing = [path for path in paths if path not in parameters]
        version = parameters.get(version_path(template.prefix, address))
        if missing or version is None:
            named = _some(missing or [version_path(template.prefix, address)])
            found.append(f"{template.stack} reads {named}, which nobody publishes: deploy {producer} first")
        elif problem := version_problem(
            int(version), template.reads[address], producer=producer, reader=template.stack
        ):
            found.append(problem)
    return tuple(found)


def taken_away(template: Template, readers: Sequence[Reader]) -> tuple[str, ...]:
    """What deployed stacks read of this one and would not find any more: one line for each of them."""
    own = {_address(path, template.prefix) for path in template.published}
    found = []
    for reader in readers:
        read = {path for path in reader.inputs if _address(path, template.prefix) in own}
        if gone := sorted(read - set(template.published)):
            found.append(
                f"{reader.name} reads {_some(gone)}, which this version of {template.stack} does not publish: "
                f"roll {reader.name} back first"
            )
        found += [
            f"{reader.name} needs version {understood} of its contract, this version of {template.stack} publishes "
            f"{published}: roll {reader.name} back first"
            for understood, published in _versions(template, reader)
            if published < understood and not gone
        ]
    return tuple(found)


def left_behind(template: Template, readers: Sequence[Reader]) -> tuple[str, ...]:
    """Which deployed stacks do not understand what this one is about to publish; they keep what they have."""
    return tuple(
        f"{reader.name} understands version {understood} of this contract, not {published}: it keeps what it has, and "
        "can be deployed again from a newer release only"
        for reader in readers
        for understood, published in _versions(template, reader)
        if published > understood
    )


def _versions(template: Template, reader: Reader) -> Iterator[tuple[int, int]]:
    """(understood by the reader, published by the template) for each contract that the two share."""
    for address, understood in reader.reads.items():
        published = template.published.get(version_path(template.prefix, address))
        if published is not None:
            yield understood, int(published)


def _address(path: str, prefix: str) -> str:
    return "/".join(path.removeprefix(prefix).split("/")[:2])


def _some(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(paths[:_SHOWN]) + more
