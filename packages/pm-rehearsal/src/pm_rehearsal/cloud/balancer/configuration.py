"""What a balancer process is told, one JSON object a line on its standard input; each line replaces the one before."""

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """How a target group looks at its targets.

    Attributes:
        tls: Whether it speaks HTTPS.
        path: Of the GET request; empty for a check that only connects (protocol TCP).
        port: Fixed port; 0 means the port that the target gets its traffic on.
        codes: Status codes that count as success, as in ``Matcher.HttpCode``: ``200``, ``200,202``, ``200-299``.
        enabled: False takes every target as healthy.
    """

    path: str = "/"
    port: int = 0
    interval_seconds: float = 30.0
    timeout_seconds: float = 5.0
    healthy_threshold: int = 5
    unhealthy_threshold: int = 2
    codes: str = "200"
    enabled: bool = True
    tls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One address; ``draining`` means no new request, those under way may end."""

    host: str
    port: int
    draining: bool = False

    @property
    def key(self) -> str:
        """``host:port``."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetGroup:
    """Targets that answer the same requests.

    Attributes:
        tls: Whether targets speak HTTPS.
        algorithm: ``round_robin`` or ``least_outstanding_requests``.
    """

    arn: str
    targets: tuple[Target, ...] = ()
    health_check: HealthCheck = HealthCheck()
    algorithm: str = "round_robin"
    tls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """Send the request to a target of this group."""

    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedResponse:
    """Answer without asking a target."""

    status: int
    content_type: str = "text/plain"
    body: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Answer with a Location; the parts hold AWS's placeholders ``#{host}``, ``#{path}`` and so on."""

    status: int
    protocol: str = "#{protocol}"
    host: str = "#{host}"
    port: str = "#{port}"
    path: str = "/#{path}"
    query: str = "#{query}"


Action = Forward | FixedResponse | Redirect


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An action and what a request must look like to get it; each non-empty condition must match.

    Attributes:
        paths: Patterns of the path with ``*`` and ``?``.
        hosts: Patterns of the host name, without regard to case.
        methods: Request methods.
    """

    action: Action
    paths: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A port on 127.0.0.1.

    Attributes:
        port: The port clients see on AWS; targets are told it in ``X-Forwarded-Port``.
        bind_port: The port really listened on; 0 means a free one, which the process reports.
        protocol: ``HTTP`` or ``HTTPS``, told in ``X-Forwarded-Proto``.
        certificate_file: Of an HTTPS listener: certificate and key.
        rules: The first that matches decides; the last one has no condition.
    """

    arn: str
    port: int
    rules: tuple[Rule, ...]
    protocol: str = "HTTP"
    bind_port: int = 0
    certificate_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One load balancer.

    Attributes:
        idle_timeout_seconds: Silence after which a connection is closed, or a target given up with 504.
        keep_alive_seconds: Age at which a client's connection is closed after its current answer.
        drop_invalid_fields: Whether header fields are left out whose names hold more than letters, digits and hyphens.
    """

    listeners: tuple[Listener, ...] = ()
    groups: tuple[TargetGroup, ...] = ()
    idle_timeout_seconds: float = 60.0
    keep_alive_seconds: float = 3600.0
    drop_invalid_fields: bool = False

    def to_line(self) -> bytes:
        """One line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "Configuration":
        """What ``to_line`` wrote."""
        value = json.loads(line)
        return cls(
            listeners=tuple(_listener(item) for item in value["listeners"]),
            groups=tuple(_group(item) for item in value["groups"]),
            idle_timeout_seconds=value["idle_timeout_seconds"],
            keep_alive_seconds=value["keep_alive_seconds"],
            drop_invalid_fields=value["drop_invalid_fields"],
        )


def _listener(value: dict[str, Any]) -> Listener:
    return Listener(**{**value, "rules": tuple(_rule(item) for item in value["rules"])})


def _rule(value: dict[str, Any]) -> Rule:
    action = value["action"]
    kind = Forward if "group" in action else Redirect if "query" in action else FixedResponse
    return Rule(
        action=kind(**action),
        paths=tuple(value["paths"]),
        hosts=tuple(value["hosts"]),
        methods=tuple(value["methods"]),
    )


def _group(value: dict[str, Any]) -> TargetGroup:
    return TargetGroup(
        **{
            **value,
            "targets": tuple(Target(**item) for item in value["targets"]),
            "health_check": HealthCheck(**value["health_check"]),
        }
    )
