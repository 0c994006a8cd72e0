"""The contracts that pm-core declares, held against those of its last release."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from pm_core.compatibility import breaks, raised
from pm_delivery.tools import output_of

PACKAGE = "pm-core"
RELEASED = Path("contracts.json")


def declared(root: Path, path: Path) -> dict[str, Any]:
    """The contracts of the pm-core in a checkout, which need not be the one that runs.

    Args:
        root: The checkout.
        path: The directory of pm-core in it.
    """
    code = (
        "import json; from pm_core import CONTRACTS; from pm_core.compatibility import described; "
        "print(json.dumps(described(CONTRACTS)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(root / path / "src")}
    told = output_of(f"import of {path}", [sys.executable, "-c", code], directory=root, environment=environment)
    contracts: dict[str, Any] = json.loads(told)
    return contracts


def problems(root: Path, path: Path, *, patch: bool) -> tuple[str, ...]:
    """What forbids to release pm-core as it is.

    Args:
        root: The checkout.
        path: The directory of pm-core in it.
        patch: Whether only the version's last part is to be raised.
    """
    released, now = json.loads((root / path / RELEASED).read_text()), declared(root, path)
    found = list(breaks(released, now))
    if patch and (names := raised(released, now)):
        found.append(f"{', '.join(names)} has a new version: a patch release must not change contracts")
    return tuple(found)


def write(root: Path, path: Path) -> None:
    """Note what is released, for the next comparison."""
    (root / path / RELEASED).write_text(json.dumps(declared(root, path), indent=2) + "\n")
