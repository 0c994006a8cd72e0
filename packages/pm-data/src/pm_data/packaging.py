"""The code of the data tier's functions as a CDK asset: our modules and the pure Python packages that they import."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

FUNCTIONS = Path(__file__).parent / "functions"
# What database_roles imports beyond Lambda's own boto3: pg8000 and all that it requires, none of it compiled.
VENDORED = ("pg8000", "scramp", "asn1crypto", "python-dateutil", "six")
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


class PackagingError(RuntimeError):
    """A package that the function needs is not installed where the template is made, or is not pure Python."""


@contextmanager
def function_code() -> Iterator[Path]:
    """A directory with the functions' code, for as long as the block runs; CDK copies assets when they are declared.

    The same installed packages give the same content, and so the same asset hash, on every machine: copied is what is
    installed, without bytecode and without what an installer notes about itself.

    Raises:
        PackagingError: A vendored package is missing or has compiled parts.
    """
    with tempfile.TemporaryDirectory(prefix="pm-data-function-") as name:
        directory = Path(name)
        shutil.copytree(FUNCTIONS, directory / FUNCTIONS.name, ignore=_IGNORED)
        for package in VENDORED:
            _vendor(package, directory)
        yield directory


def _vendor(package: str, directory: Path) -> None:
    try:
        installed = distribution(package)
    except PackageNotFoundError:
        raise PackagingError(
            f"{package} is not installed: it goes into the function of DatabaseRoles; uv sync"
        ) from None
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
