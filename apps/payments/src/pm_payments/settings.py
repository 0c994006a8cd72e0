"""What the process is told by its environment variables."""

from collections.abc import Mapping
from dataclasses import dataclass

ENVIRONMENTS = ("source", "target")
SSL_MODE = "verify-full"
BIND = "0.0.0.0"  # noqa: S104 - inside its container, behind the load balancer's security group
PORT = 8080


class SettingsError(ValueError):
    """A variable is missing or wrong; the message names it and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The service's settings.

    Attributes:
        environment: Where this process runs: source or target.
        candidates: Name and secret ARN of each database that may be the writer, the source first.
        ssl_mode: libpq's sslmode for every connection. Default verify-full.
        bind: Address to listen on. Default 0.0.0.0.
        port: TCP port to listen on. Default 8080.
        tls: Whether to speak TLS, with a certificate made at the start. Default yes.
    """

    environment: str
    candidates: tuple[tuple[str, str], ...]
    ssl_mode: str = SSL_MODE
    bind: str = BIND
    port: int = PORT
    tls: bool = True

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """The settings in ``PM_ENVIRONMENT``, ``PM_CANDIDATES``, ``PM_SSL_MODE``, ``PM_BIND``, ``PORT`` and ``PM_TLS``.

        Raises:
            SettingsError: One is missing or wrong.
        """
        name = environment.get("PM_ENVIRONMENT", "")
        if name not in ENVIRONMENTS:
            raise SettingsError(f"PM_ENVIRONMENT is {name!r}: allowed are {' and '.join(ENVIRONMENTS)}")
        port = environment.get("PORT", str(PORT))
        if not port.isdecimal() or not 0 < int(port) < 65536:
            raise SettingsError(f"PORT is {port!r}: allowed is a number from 1 to 65535")
        return cls(
            environment=name,
            candidates=_candidates(environment.get("PM_CANDIDATES", "")),
            ssl_mode=environment.get("PM_SSL_MODE", SSL_MODE),
            bind=environment.get("PM_BIND", BIND),
            port=int(port),
            tls=_switch("PM_TLS", environment.get("PM_TLS", "on")),
        )


def _switch(name: str, value: str) -> bool:
    if value not in ("on", "off"):
        raise SettingsError(f"{name} is {value!r}: allowed are on and off")
    return value == "on"


def _candidates(value: str) -> tuple[tuple[str, str], ...]:
    pairs = [tuple(part.strip() for part in item.partition("=")[::2]) for item in value.split(",")]
    names = [name for name, _ in pairs]
    if not all(name and arn for name, arn in pairs) or len(set(names)) != len(names):
        raise SettingsError(f"PM_CANDIDATES is {value!r}: allowed is source=<secret arn>,target=<secret arn>")
    return tuple((name, arn) for name, arn in pairs)
