"""Git, as far as a release needs it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pm_delivery.tools import output_of


def git(directory: Path, *arguments: str) -> str:
    """Run Git in a directory; what it prints, without the line end.

    Raises:
        ToolError: It refused.
    """
    return output_of(f"git {' '.join(arguments[:2])}", ["git", *arguments], directory=directory)


def tag_exists(root: Path, tag: str) -> bool:
    """Whether there is such a tag."""
    return bool(git(root, "tag", "--list", tag))


def changed_since(root: Path, revision: str, *paths: Path) -> bool:
    """Whether anything below the paths differs between a revision and HEAD."""
    return bool(git(root, "diff", "--name-only", revision, "HEAD", "--", *map(str, paths)))


@contextmanager
def scratch_checkout(root: Path, revision: str) -> Iterator[Path]:
    """A working tree of its own at a revision, for as long as the block runs; commits made there stay."""
    with tempfile.TemporaryDirectory(prefix="pm-checkout-") as name:
        directory = Path(name) / "tree"
        git(root, "worktree", "add", "--quiet", "--detach", str(directory), revision)
        try:
            yield directory
        finally:
            git(root, "worktree", "remove", "--force", str(directory))
