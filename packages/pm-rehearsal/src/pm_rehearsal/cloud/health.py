"""Route 53 health checks that really look: through the load balancer, each request interval.

Checks of the types HTTP, HTTPS, HTTP_STR_MATCH, HTTPS_STR_MATCH and TCP; one
checker stands for AWS's fifteen, so a failure shows after FailureThreshold intervals.
"""

import http.client
import logging
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary
from xml.sax.saxutils import escape

from pm_rehearsal.cloud.balancer.tls import target_context
from pm_rehearsal.cloud.balancing import Traffic, traffic_of
from pm_rehearsal.cloud.extension import Extension, Request, Response

LOOK_SECONDS = 0.5
FIRST_SECONDS = 1.0
DEFAULT_INTERVAL_SECONDS = 30.0
DEFAULT_THRESHOLD = 3
ANSWER_SECONDS = 4.0
MATCHED_BYTES = 5120  # of a body, in which a SearchString must stand
NAMESPACE = "AWS/Route53"
REGION = "us-east-1"  # where Route 53 publishes its metrics
CHECKED_TYPES = frozenset(("HTTP", "HTTPS", "HTTP_STR_MATCH", "HTTPS_STR_MATCH", "TCP"))
_XMLNS = "https://route53.amazonaws.com/doc/2013-04-01/"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _State:
    healthy: bool = True  # until it has failed often enough, as on AWS
    succeeded: bool = False  # ever
    streak: int = 0  # findings in a row that speak against the state
    status: str = "Success: not checked yet"
    checked_at: float = 0.0
    last_failure: str = ""
    last_failure_at: float = 0.0


def install(extension: Extension) -> None:
    """Check, answer GetHealthCheckStatus, and refuse the types that are not checked."""
    checks = health_checks_of(extension)
    extension.intercept("route53", checks.intercept)


class HealthChecks:
    """The state of every health check; one thread each."""

    def __init__(self, extension: Extension, traffic: Traffic) -> None:
        self._extension = extension
        self._traffic = traffic
        self._route53 = extension.module("services.route53")
        self._cloudwatch = extension.module("services.cloudwatch")
        self._request_scope = extension.module("core.responses").request_scope
        self._states: dict[str, _State] = {}
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start checking."""
        self._extension.on_stop(self._stopped.set)
        self._extension.background("health-checks", self._run)

    def is_healthy(self, identity: str) -> bool:
        """Whether records with this health check are answered; one that does not exist counts as healthy."""
        config = self._configuration(identity)
        state = self._states.get(identity)
        if config is None or state is None:
            return True
        healthy = state.healthy or bool(config.get("Disabled"))
        return healthy is not bool(config.get("Inverted"))

    def intercept(self, request: Request) -> Response | None:
        """GetHealthCheckStatus and GetHealthCheckLastFailureReason, which MiniStack lacks."""
        parts = request.path.strip("/").split("/")
        if request.method == "POST" and parts[1:] == ["healthcheck"]:
            return self._refusal(request.body)
        if len(parts) != 4 or parts[1] != "healthcheck" or parts[3] not in ("status", "lastfailurereason"):
            return None
        state = self._states.get(parts[2], _State())
        if self._configuration(parts[2]) is None:
            missing: Response = self._route53._error_response(
                "NoSuchHealthCheck", f"No health check exists with the specified ID {parts[2]}.", 404
            )
            return missing
        if parts[3] == "status":
            return _observations("GetHealthCheckStatusResponse", state.status, state.checked_at)
        return _observations("GetHealthCheckLastFailureReasonResponse", state.last_failure, state.last_failure_at)

    def _refusal(self, body: bytes) -> Response | None:
        root = self._route53._parse_body(body)
        config = self._route53._find(root, "HealthCheckConfig") if root is not None else None
        kind = self._route53._text(config, "Type") if config is not None else None
        if kind is None or kind in CHECKED_TYPES:
            return None
        refused: Response = self._route53._error_response(
            "InvalidInput",
            f"health checks of type {kind} are not supported by the embedded AWS: {sorted(CHECKED_TYPES)}",
        )
        return refused

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            existing = {identity for _, identity in list(self._route53._health_checks._data)}
            for identity in set(self._states) - existing:
                del self._states[identity]
            for identity in existing - set(self._states):
                self._states[identity] = _State()
                self._extension.background(f"health-check-{identity}", self._watch, identity, self._states[identity])

    def _watch(self, identity: str, state: _State) -> None:
        """Check at once, again whenever the check was changed, and each interval; each second until a first success."""
        while self._states.get(identity) is state:
            config = self._configuration(identity)
            if config is None:
                return
            seen = dict(config)
            if not config.get("Disabled"):
                self._judge(config, state, *self._check(config))
                self._publish(identity)
            interval = (
                float(config.get("RequestInterval", DEFAULT_INTERVAL_SECONDS)) if state.succeeded else FIRST_SECONDS
            )
            due = time.monotonic() + interval
            while time.monotonic() < due and self._configuration(identity) == seen:
                if self._stopped.wait(LOOK_SECONDS):
                    return

    def _configuration(self, identity: str) -> dict[str, Any] | None:
        for (_, other), record in list(self._route53._health_checks._data.items()):
            if other == identity:
                config: dict[str, Any] = record["config"]
                return config
        return None

    def _judge(self, config: dict[str, Any], state: _State, success: bool, status: str) -> None:
        state.succeeded = state.succeeded or success
        state.streak = 0 if success is state.healthy else state.streak + 1
        if state.streak >= int(config.get("FailureThreshold", DEFAULT_THRESHOLD)):
            state.healthy, state.streak = success, 0
            log.info("health check of %s: %s", config.get("FullyQualifiedDomainName", config.get("IPAddress")), status)
        # Last, so that who reads the status finds DNS answering by it.
        state.checked_at = time.time()
        if not success:
            state.last_failure, state.last_failure_at = status, state.checked_at
        state.status = status

    def _check(self, config: dict[str, Any]) -> tuple[bool, str]:
        """Whether the endpoint answers, and the words that GetHealthCheckStatus has for it."""
        address = self._address(config)
        if address is None:
            return (
                False,
                f"Failure: DNS resolution failed: {config.get('FullyQualifiedDomainName')} has no load balancer",
            )
        try:
            if config["Type"] == "TCP":
                socket.create_connection(address, ANSWER_SECONDS).close()
                return True, "Success: TCP connection established"
            return _ask(address, config)
        except TimeoutError:
            return False, "Failure: The health checker did not get an answer in time"
        except (OSError, http.client.HTTPException) as error:
            return False, f"Failure: {error}"

    def _address(self, config: dict[str, Any]) -> tuple[str, int] | None:
        name = config.get("FullyQualifiedDomainName")
        default_port = 443 if config["Type"].startswith("HTTPS") else 80
        port = int(config.get("Port", default_port))
        if config.get("IPAddress"):
            return str(config["IPAddress"]), port
        return self._traffic.endpoint(str(name), port=port) if name else None

    def _publish(self, identity: str) -> None:
        healthy = float(self.is_healthy(identity))
        account = next((owner for owner, other in list(self._route53._health_checks._data) if other == identity), None)
        if account is None:
            return
        with self._request_scope(account, REGION):
            dimensions = {"HealthCheckId": identity}
            self._cloudwatch._store_datum(
                NAMESPACE, "HealthCheckStatus", dimensions, time.time(), "None", healthy, None, None, None
            )


def health_checks_of(extension: Extension) -> HealthChecks:
    """The one HealthChecks of an extension; started when it is first asked for."""
    if extension not in _INSTANCES:
        _INSTANCES[extension] = HealthChecks(extension, traffic_of(extension))
        _INSTANCES[extension].start()
    return _INSTANCES[extension]


_INSTANCES: WeakKeyDictionary[Extension, HealthChecks] = WeakKeyDictionary()


def _ask(address: tuple[str, int], config: dict[str, Any]) -> tuple[bool, str]:
    connection = (
        http.client.HTTPSConnection(*address, timeout=ANSWER_SECONDS, context=target_context())
        if config["Type"].startswith("HTTPS")  # Route 53 does not validate certificates either
        else http.client.HTTPConnection(*address, timeout=ANSWER_SECONDS)
    )
    try:
        host = str(config.get("FullyQualifiedDomainName") or address[0])
        connection.request(
            "GET",
            str(config.get("ResourcePath") or "/"),
            headers={"Host": host, "User-Agent": "Amazon-Route53-Health-Check"},
        )
        answer = connection.getresponse()
        body = answer.read(MATCHED_BYTES)
    finally:
        connection.close()
    described = f"HTTP Status Code {answer.status}, {answer.reason}"
    if not 200 <= answer.status < 400:
        return False, f"Failure: {described}"
    if config["Type"].endswith("STR_MATCH") and str(config.get("SearchString", "")).encode() not in body:
        return False, f"Failure: {described}, but the search string was not found"
    return True, f"Success: {described}"


def _observations(root: str, status: str, at: float) -> Response:
    checked = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at or time.time()))
    observation = (
        f"<HealthCheckObservation><Region>{REGION}</Region><IPAddress>127.0.0.1</IPAddress><StatusReport>"
        f"<Status>{escape(status)}</Status><CheckedTime>{checked}</CheckedTime></StatusReport></HealthCheckObservation>"
        if status
        else ""
    )
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?><{root} xmlns="{_XMLNS}">'
        f"<HealthCheckObservations>{observation}</HealthCheckObservations></{root}>"
    )
    return 200, {"Content-Type": "text/xml"}, body.encode()
