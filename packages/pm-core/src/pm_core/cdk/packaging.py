"""The code of a function as a CDK asset: a tier's modules, the custom resource protocol, and vendored packages."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

# A database client without compiled parts: what a function that connects vendors.
PG8000 = ("pg8000", "scramp")
# What functions run on; `functions.py` names it to Lambda.
PYTHON_VERSION = "3.14"

_SHARED = tuple(Path(__file__).parents[1] / name for name in ("custom_resources.py", "database_access.py"))
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


class PackagingError(RuntimeError):
    """A package that a function needs is not installed where the template is made, or is not pure Python."""


@contextmanager
def function_code(modules: Path, vendored: Sequence[str] = ()) -> Iterator[Path]:
    """A directory with a function's code, for as long as the block runs; CDK copies assets when they are declared.

    It holds ``modules`` as the package ``functions``, ``pm_core.custom_resources``, ``pm_core.database_access`` and the
    vendored distributions with all that these require. The same installed packages give the same content, and so the
    same asset hash, on every machine: copied is what is installed, without bytecode and without what an installer notes
    about itself.

    Raises:
        PackagingError: A vendored package is missing or has compiled parts.
    """
    with tempfile.TemporaryDirectory(prefix="pm-function-") as name:
        directory = Path(name)
        shutil.copytree(modules, directory / "functions", ignore=_IGNORED)
        shared = directory / "pm_core"
        shared.mkdir()
        (shared / "__init__.py").touch()
        for module in _SHARED:
            shutil.copyfile(module, shared / module.name)
        for installed in _with_requirements(vendored):
            _vendor(installed, directory)
        yield directory


def _with_requirements(packages: Sequence[str]) -> list[Distribution]:
    """The distributions, and whatever they require on the functions' Python."""
    there = {"python_version": PYTHON_VERSION, "python_full_version": f"{PYTHON_VERSION}.0", "extra": ""}
    found: dict[str, Distribution] = {}
    todo = list(packages)
    for package in todo:
        try:
            found[package] = distribution(package)
        except PackageNotFoundError:
            raise PackagingError(f"{package} is not installed: it goes into a function's code; uv sync") from None
        for requirement in map(Requirement, found[package].requires or ()):
            wanted = requirement.marker is None or requirement.marker.evaluate(there)
            if wanted and requirement.name not in todo:
                todo.append(requirement.name)
    return list(found.values())


def _vendor(installed: Distribution, directory: Path) -> None:
    package = installed.metadata["Name"]
    for file in installed.files or ():
        if file.suffix in {".so", ".pyd", ".dylib"}:
            raise PackagingError(
                f"{package} has the compiled part {file}: only pure Python runs on any Lambda platform"
            )
        about_itself = file.parts[0].endswith(".dist-info") and file.name != "METADATA"
        if about_itself or file.suffix == ".pyc" or ".." in file.parts:
            continue
        target = directory / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(file.locate()), target)
