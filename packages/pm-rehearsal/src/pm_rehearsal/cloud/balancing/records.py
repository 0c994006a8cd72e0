"""MiniStack's load balancer records, read as the configuration of a balancer process."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pm_rehearsal.cloud.balancer import (
    Configuration,
    FixedResponse,
    Forward,
    HealthCheck,
    Listener,
    Redirect,
    Rule,
    Target,
    TargetGroup,
)

Record = Mapping[str, Any]

DEFAULT_DEREGISTRATION_SECONDS = 300.0


def configuration(
    alb: Any, load_balancer: Record, targets: Mapping[str, Iterable[Target]], *, certificate_file: Callable[[str], str]
) -> Configuration:
    """What the load balancer's process is to do.

    Args:
        alb: MiniStack's module; the caller has pinned the account and region.
        load_balancer: Its record.
        targets: Target group ARN -> registered targets.
        certificate_file: Certificate ARN -> file with the certificate and its key, empty when it is not issued. A
            listener waits for its certificate.
    """
    arn = load_balancer["LoadBalancerArn"]
    records = [record for record in list(alb._listeners.values()) if record["LoadBalancerArn"] == arn]
    listeners = tuple(
        listener
        for record in records
        if (listener := _listener(alb, record, certificate_file)).rules
        and (listener.protocol == "HTTP" or listener.certificate_file)
    )
    used = {rule.action.group for item in listeners for rule in item.rules if isinstance(rule.action, Forward)}
    groups = tuple(_group(alb, alb._tgs[group], targets.get(group, ())) for group in sorted(used) if group in alb._tgs)
    settings = attributes(alb._lb_attrs.get(arn, ()))
    return Configuration(
        listeners=listeners,
        groups=groups,
        idle_timeout_seconds=float(settings.get("idle_timeout.timeout_seconds", 60)),
        keep_alive_seconds=float(settings.get("client_keep_alive.seconds", 3600)),
        drop_invalid_fields=settings.get("routing.http.drop_invalid_header_fields.enabled") == "true",
    )


def deregistration_seconds(alb: Any, group: str) -> float:
    """How long a target of the group may take to end its requests."""
    value = attributes(alb._tg_attrs.get(group, ())).get("deregistration_delay.timeout_seconds")
    return DEFAULT_DEREGISTRATION_SECONDS if value is None else float(value)


def attributes(pairs: Iterable[Record]) -> dict[str, str]:
    """Attributes as a mapping."""
    return {pair["Key"]: str(pair["Value"]) for pair in pairs}


def _listener(alb: Any, record: Record, certificate_file: Callable[[str], str]) -> Listener:
    rules = [rule for rule in list(alb._rules.values()) if rule["ListenerArn"] == record["ListenerArn"]]
    ordered = sorted(rules, key=_position)
    return Listener(
        arn=record["ListenerArn"],
        port=int(record["Port"]),
        protocol=record["Protocol"],
        certificate_file=next((certificate_file(arn) for arn in record.get("Certificates", ())), ""),
        rules=tuple(_rule(rule) for rule in ordered),
    )


def _position(rule: Record) -> tuple[bool, int]:
    return (True, 0) if rule.get("IsDefault") else (False, int(rule["Priority"]))


def _rule(record: Record) -> Rule:
    values: dict[str, tuple[str, ...]] = {}
    for condition in record.get("Conditions", ()):
        values[condition["Field"]] = tuple(condition.get("Values", ()))
    return Rule(
        action=_action(record["Actions"]),
        paths=values.get("path-pattern", ()),
        hosts=values.get("host-header", ()),
        methods=values.get("http-request-method", ()),
    )


def _action(actions: Iterable[Record]) -> Forward | FixedResponse | Redirect:
    last = max(actions, key=lambda action: int(action.get("Order", 1)))
    if last["Type"] == "forward":
        return Forward(group=last["TargetGroupArn"])
    if last["Type"] == "fixed-response":
        settings = last["FixedResponseConfig"]
        return FixedResponse(
            status=int(settings["StatusCode"]),
            content_type=settings.get("ContentType", "text/plain"),
            body=settings.get("MessageBody", ""),
        )
    settings = last["RedirectConfig"]
    given = {name.lower(): str(value) for name, value in settings.items() if name != "StatusCode"}
    return Redirect(status=int(settings["StatusCode"].removeprefix("HTTP_")), **given)


def _group(alb: Any, record: Record, targets: Iterable[Target]) -> TargetGroup:
    port = str(record["HealthCheckPort"])
    settings = attributes(alb._tg_attrs.get(record["TargetGroupArn"], ()))
    return TargetGroup(
        arn=record["TargetGroupArn"],
        targets=tuple(targets),
        tls=record["Protocol"] == "HTTPS",
        algorithm=settings.get("load_balancing.algorithm.type", "round_robin"),
        health_check=HealthCheck(
            path=record["HealthCheckPath"],
            port=int(port) if port.isdigit() else 0,
            interval_seconds=float(record["HealthCheckIntervalSeconds"]),
            timeout_seconds=float(record["HealthCheckTimeoutSeconds"]),
            healthy_threshold=int(record["HealthyThresholdCount"]),
            unhealthy_threshold=int(record["UnhealthyThresholdCount"]),
            codes=record["Matcher"]["HttpCode"],
            enabled=bool(record["HealthCheckEnabled"]),
            tls=record["HealthCheckProtocol"] == "HTTPS",
        ),
    )
