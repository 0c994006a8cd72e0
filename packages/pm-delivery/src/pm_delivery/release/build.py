"""Source distribution and wheel of one package at one commit: the same commit gives the same bytes."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from uv import find_uv_bin

from pm_delivery.release.git import git, scratch_checkout
from pm_delivery.tools import output_of


def build_at(root: Path, revision: str, package: str, output: Path) -> Mapping[str, str]:
    """Build what a revision holds, whatever the working tree looks like.

    Timestamps inside the archives are those of the commit, and the build backend has one version (pyproject.toml,
    build-constraint-dependencies).

    Args:
        root: The repository.
        revision: A commit or tag.
        package: Which package of it.
        output: Directory that gets the files; made when missing.

    Returns:
        SHA-256 in hexadecimal digits, by file name.

    Raises:
        ToolError: The build failed.
    """
    epoch = git(root, "log", "-1", "--format=%ct", revision)
    with scratch_checkout(root, revision) as tree:
        staging = tree.parent / "built"
        output_of(
            "uv build",
            [find_uv_bin(), "build", "--quiet", "--package", package, "--out-dir", str(staging)],
            directory=tree,
            environment={**os.environ, "SOURCE_DATE_EPOCH": epoch},
        )
        output.mkdir(parents=True, exist_ok=True)
        hashes = {}
        for file in sorted(one for one in staging.iterdir() if one.name.endswith((".whl", ".tar.gz"))):
            content = file.read_bytes()
            hashes[file.name] = hashlib.sha256(content).hexdigest()
            (output / file.name).write_bytes(content)
    return hashes
