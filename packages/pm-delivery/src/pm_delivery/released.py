"""An environment with released packages, apart from the workspace's."""

import json
import os
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from uv import find_uv_bin

from pm_delivery.errors import DeliveryError
from pm_delivery.index import NAME, Index
from pm_delivery.tools import ToolError, output_of

# What would make uv use another environment, or another project.
_OF_THE_WORKSPACE = ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "UV_PROJECT", "UV_WORKING_DIR")


class InstallError(DeliveryError):
    """The releases do not fit together, or are not there; the message ends with uv's own explanation."""


@contextmanager
def released_python(pins: Mapping[str, str], ours: Sequence[str], index: Index) -> Iterator[Path]:
    """The interpreter of an environment, for as long as the block runs.

    Args:
        pins: Exact versions by name.
        ours: Names of the packages that come from ``index`` and from nowhere else; each is installed.
        index: Where they are; everything that they need comes from uv's usual index.

    Raises:
        InstallError: uv found no set of versions that fits, or a package of ours came from elsewhere.
    """
    with tempfile.TemporaryDirectory(prefix="pm-released-") as name:
        directory = Path(name)
        (directory / "pyproject.toml").write_text(_project(pins, ours, index))
        environment = {key: value for key, value in os.environ.items() if key not in _OF_THE_WORKSPACE}
        command = [find_uv_bin(), "sync", "--quiet", "--no-dev"]
        try:
            output_of("uv sync", command, directory=directory, environment=environment)
        except ToolError as error:
            wanted = ", ".join(f"{package} {version}" for package, version in pins.items())
            raise InstallError(f"{wanted} cannot be installed from {index.location}:\n{error}") from None
        check_origins(directory / "uv.lock", ours)
        yield directory / ".venv" / "bin" / "python"


def _project(pins: Mapping[str, str], ours: Sequence[str], index: Index) -> str:
    dependencies = [
        *(f"{name}=={version}" for name, version in pins.items()),
        *(one for one in ours if one not in pins),
    ]
    return "\n".join(
        [
            "[project]",
            'name = "released"',
            'version = "0"',
            'requires-python = ">=3.11"',
            f"dependencies = {json.dumps(dependencies)}",
            "[tool.uv]",
            "package = false",
            index.toml,
            "[tool.uv.sources]",
            *(f'{name} = {{ index = "{NAME}" }}' for name in ours),
            "",
        ]
    )


def check_origins(lock: Path, ours: Sequence[str]) -> None:
    """See that no public index had a say in packages of ours.

    Raises:
        InstallError: A release of ours needs a package that is called like one of ours and is none.
    """
    strangers = [
        package["name"]
        for package in tomllib.loads(lock.read_text())["package"]
        if package["name"].startswith("pm-") and package["name"] not in ours
    ]
    if strangers:
        raise InstallError(f"{', '.join(strangers)} would come from a public index: it is no package of this workspace")
