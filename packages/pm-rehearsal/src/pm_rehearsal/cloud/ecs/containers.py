"""A container of a task as a process of this machine: which command, which environment, where its output goes.

Documented differences from AWS: all containers share 127.0.0.1, so each is told a free port of its own in ``PORT`` and
to bind to it in ``PM_BIND``; each has a directory of its own, which goes with it, as working directory and for
temporary files, where a container on AWS mounts a volume; limits of CPU and memory, users and read-only file systems
have no effect.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pm_postgres

HOST = "127.0.0.1"
STOP_TIMEOUT_SECONDS = 30.0
_INHERITED = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "PYTHONPATH",
    "PYTHONDONTWRITEBYTECODE",
    "PM_POSTGRES_BIN",
)
_IMAGE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com/"
    r"(?P<repository>[^:@]+)(:(?P<tag>[^@]+))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)


class ImagePullError(Exception):
    """An image that ECS could not pull; the message is that of ``stoppedReason``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image reference in ECR."""

    account: str
    region: str
    repository: str
    identifier: dict[str, str]

    @classmethod
    def parse(cls, reference: str) -> "Image":
        """Split a reference such as ``123456789012.dkr.ecr.us-east-1.amazonaws.com/payments:1``.

        Raises:
            ImagePullError: It is not one of ECR.
        """
        match = _IMAGE.fullmatch(reference)
        if match is None:
            raise ImagePullError(
                f"CannotPullContainerError: {reference} is not an image of ECR, the only registry of the embedded AWS"
            )
        identifier = {"imageDigest": match["digest"]} if match["digest"] else {"imageTag": match["tag"] or "latest"}
        return cls(
            account=match["account"], region=match["region"], repository=match["repository"], identifier=identifier
        )


def command(images: Mapping[str, Sequence[str]], repository: str, arguments: Sequence[str]) -> list[str]:
    """The local command that stands for an image; a container's own ``command`` is appended, as to an entry point.

    Raises:
        ImagePullError: No prefix of the repository's name is known.
    """
    prefixes = [prefix for prefix in images if repository.startswith(prefix)]
    if not prefixes:
        raise ImagePullError(
            f"CannotPullContainerError: the embedded AWS knows no local command for repository {repository}; "
            f"it knows the prefixes {sorted(images) or 'none'}: add one to PM_CLOUD_IMAGES"
        )
    return [*images[max(prefixes, key=len)], *arguments]


def environment(
    definition: Mapping[str, Any],
    *,
    secrets: Mapping[str, str],
    overrides: Mapping[str, str],
    endpoint: str,
    account: str,
    region: str,
    port: int,
    scratch: Path,
) -> dict[str, str]:
    """A container's whole environment: its own variables, its secrets, AWS, and where to listen."""
    return {
        **{name: os.environ[name] for name in _INHERITED if name in os.environ},
        **{item["name"]: str(item["value"]) for item in definition.get("environment", ())},
        **secrets,
        **overrides,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": account,  # how MiniStack is told the account
        "AWS_SECRET_ACCESS_KEY": "embedded",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": HOST,
        "PORT": str(port),
        "PM_BIND": HOST,
        "TMPDIR": str(scratch),
    }


class Container:
    """One running container.

    Args:
        definition: The container definition of the task definition.
        argv: Its command.
        variables: Its whole environment.
        port: Its port on 127.0.0.1.
        log_file: Gets its output.
        scratch: Its working directory; exists, and is removed by ``forget``.

    Raises:
        OSError: The command cannot be run.
    """

    def __init__(
        self,
        definition: Mapping[str, Any],
        *,
        argv: Sequence[str],
        variables: Mapping[str, str],
        port: int,
        log_file: Path,
        scratch: Path,
    ) -> None:
        self.name = str(definition["name"])
        self.essential = bool(definition.get("essential", True))
        self.stop_timeout_seconds = float(definition.get("stopTimeout") or STOP_TIMEOUT_SECONDS)
        self.port = port
        self.log_file = log_file
        self._scratch = scratch
        with log_file.open("ab") as output:
            self._process = pm_postgres.spawn(argv, env=variables, cwd=scratch, stdout=output, stderr=subprocess.STDOUT)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs; 137 after SIGKILL, as of a container."""
        code = self._process.poll()
        return 128 - code if code is not None and code < 0 else code

    def terminate(self) -> None:
        """SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._process.kill()
        self._process.wait()

    def forget(self) -> None:
        """Remove what it kept on disk but its output, once it has ended."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    def last_line(self) -> str:
        """The last line of its output, for a reason that helps."""
        lines = self.log_file.read_text(errors="replace").strip().splitlines()
        return lines[-1][-300:] if lines else ""
