"""What pg_dump says about a schema, entry by entry."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pm_cutover.database import Database
from pm_cutover.errors import RefusedError

BIN_VARIABLE = "PM_POSTGRES_BIN"
DUMP_SECONDS = 300
_ENTRY = re.compile(r"(?P<id>\d+); \d+ \d+ (?P<what>.+)")

# Never copied: the schemas themselves (they exist), the engine's fence, and what DMS leaves behind on a source.
_IGNORED = (
    re.compile(r"(COMMENT |ACL )?- ?SCHEMA |SCHEMA - "),
    re.compile(r"TRIGGER \S+ \S+ pm_fence(_replica)? "),
    re.compile(r".*\bawsdms_"),
    re.compile(r"(EXTENSION|EVENT TRIGGER|PUBLICATION|SUBSCRIPTION|DEFAULT ACL) "),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the archive's table of contents.

    Attributes:
        id: Its number in the archive.
        what: Kind, schema, name and owner, for example ``INDEX public payments_account pm_owner``.
        post_data: Whether it belongs after the data: indexes, constraints, triggers.
    """

    id: int
    what: str
    post_data: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaArchive:
    """A dump without data, in pg_dump's custom format.

    Attributes:
        file: The archive.
        entries: Its contents in the order in which they can be created.
    """

    file: Path
    entries: tuple[Entry, ...]

    def statements(self, entries: Sequence[Entry]) -> str:
        """The SQL that creates these entries; owners and privileges are left to the role that runs it."""
        with tempfile.NamedTemporaryFile("w", suffix=".list") as chosen:
            chosen.writelines(f"{entry.id};\n" for entry in entries)
            chosen.flush()
            text = _run(
                ["pg_restore", "--no-owner", "--no-privileges", "-L", chosen.name, "-f", "-", str(self.file)], {}
            )
        # pg_dump 17.6 and newer guard plain text with psql commands; and it turns off the timeouts that we set.
        return "\n".join(
            line
            for line in text.splitlines()
            if not line.startswith(("\\restrict ", "\\unrestrict ", "SET statement_timeout", "SET lock_timeout"))
        )


@contextmanager
def dump_schema(database: Database, *, schemas: Sequence[str]) -> Iterator[SchemaArchive]:
    """Dump the definitions in some schemas; the archive lives as long as the block.

    Raises:
        RefusedError: pg_dump is missing or failed.
    """
    with tempfile.TemporaryDirectory(prefix="pm-schema-") as directory:
        file = Path(directory) / "schema"
        _run(
            [
                "pg_dump",
                *("--format=custom", "--schema-only", "--no-owner", "--no-privileges", "--no-password"),
                *("--lock-wait-timeout=5s", f"--file={file}"),
                *(f'--schema="{schema}"' for schema in schemas),
            ],
            connection_environment(database),
        )
        yield SchemaArchive(file=file, entries=_entries(file))


def connection_environment(database: Database) -> dict[str, str]:
    """How PostgreSQL's programs learn where to connect: by environment, as every user can read an argv."""
    values = {
        "PGHOST": database.host,
        "PGPORT": str(database.port),
        "PGDATABASE": database.dbname,
        "PGUSER": database.user,
        "PGPASSWORD": database.password,
        "PGSSLMODE": database.ssl_mode,
        "PGCONNECT_TIMEOUT": str(database.connect_timeout_seconds),
        "PGAPPNAME": "pm",
    }
    if database.ssl_root_certificate is not None:
        values["PGSSLROOTCERT"] = database.ssl_root_certificate
    return values


def program(name: str) -> str:
    """The path of one of PostgreSQL's programs.

    Raises:
        RefusedError: It is neither in PM_POSTGRES_BIN nor on PATH.
    """
    directory = os.environ.get(BIN_VARIABLE)
    found = shutil.which(name, path=directory) if directory else shutil.which(name)
    if found is None:
        where = f"in {BIN_VARIABLE}={directory}" if directory else "on PATH"
        raise RefusedError(
            f"{name} is not {where}: install PostgreSQL's client programs of the server's version or newer, "
            f"and set {BIN_VARIABLE} to their directory"
        )
    return found


def _entries(file: Path) -> tuple[Entry, ...]:
    post_data = {number for number, _ in _listed(file, "--section=post-data")}
    return tuple(
        Entry(id=number, what=what, post_data=number in post_data)
        for number, what in _listed(file)
        if not any(pattern.match(what) for pattern in _IGNORED)
    )


def _listed(file: Path, *options: str) -> list[tuple[int, str]]:
    lines = _run(["pg_restore", "-l", *options, str(file)], {}).splitlines()
    return [(int(match["id"]), match["what"]) for line in lines if (match := _ENTRY.fullmatch(line))]


def _run(argv: Sequence[str], environment: dict[str, str]) -> str:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    if "PGSSLROOTCERT" in os.environ:
        inherited["PGSSLROOTCERT"] = os.environ["PGSSLROOTCERT"]
    try:
        result = subprocess.run(
            [program(argv[0]), *argv[1:]],
            env={**inherited, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=DUMP_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise RefusedError(
            f"{argv[0]} took longer than {DUMP_SECONDS} s: look for a transaction that locks the tables, run again"
        ) from error
    if result.returncode:
        reason = " ".join(result.stderr.split())[-400:]
        raise RefusedError(f"{argv[0]} failed: {reason} - correct it and run again")
    return result.stdout
