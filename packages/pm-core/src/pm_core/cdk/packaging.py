"""The code of a function as a CDK asset: a tier's modules, the custom resource protocol, and vendored packages."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

_PROTOCOL = Path(__file__).parents[1] / "custom_resources.py"
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


class PackagingError(RuntimeError):
    """A package that a function needs is not installed where the template is made, or is not pure Python."""


@contextmanager
def function_code(modules: Path, vendored: Sequence[str] = ()) -> Iterator[Path]:
    """A directory with a function's code, for as long as the block runs; CDK copies assets when they are declared.

    It holds ``modules`` as the package ``functions``, ``pm_core.custom_resources``, and the vendored distributions. The
    same installed packages give the same content, and so the same asset hash, on every machine: copied is what is
    installed, without bytecode and without what an installer notes about itself.

    Raises:
        PackagingError: A vendored package is missing or has compiled parts.
    """
    with tempfile.TemporaryDirectory(prefix="pm-function-") as name:
        directory = Path(name)
        shutil.copytree(modules, directory / "functions", ignore=_IGNORED)
        protocol = directory / "pm_core"
        protocol.mkdir()
        (protocol / "__init__.py").touch()
        shutil.copyfile(_PROTOCOL, protocol / _PROTOCOL.name)
        for package in vendored:
            _vendor(package, directory)
        yield directory


def _vendor(package: str, directory: Path) -> None:
    try:
        installed = distribution(package)
    except PackageNotFoundError:
        raise PackagingError(f"{package} is not installed: it goes into a function's code; uv sync") from None
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
