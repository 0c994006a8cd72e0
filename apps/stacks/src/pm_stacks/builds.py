"""What a stack is made from, as the installed packages say."""

from functools import cache
from importlib.metadata import distribution
from json import loads

from pm_core import FROM_TREE, Build

# Beside the tiers' packages these decide what a template says.
_SHAPING = ("pm-core", "pm-stacks", "aws-cdk-lib", "constructs")


def build_of(package: str, *borrowed: str) -> Build:
    """The build of a stack whose tier is ``package``, and which takes something of ``borrowed``.

    A package that was not installed as a release, but from a directory, has the label ``+tree`` on its version.
    """
    return Build(package=package, versions={name: _version(name) for name in (package, *borrowed, *_SHAPING)})


@cache  # 18 stacks ask for the same few
def _version(name: str) -> str:
    """Source: PyPA specification, "Recording the direct URL origin of installed distributions"."""
    installed = distribution(name)
    origin = installed.read_text("direct_url.json")
    return (
        f"{installed.version}+{FROM_TREE}" if origin is not None and "dir_info" in loads(origin) else installed.version
    )
