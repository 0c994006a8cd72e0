"""What the balancer process cannot do is refused when it is asked for, never ignored."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pm_rehearsal.cloud.extension import Properties, UnsupportedPropertyError

ACTIONS = frozenset(("forward", "fixed-response", "redirect"))
# Attribute -> the values that are honoured; any value where there is None.
ATTRIBUTES: Mapping[str, Mapping[str, frozenset[str] | None]] = {
    "LoadBalancer": {
        # Where access logs would go is taken and not done: nobody reads the requests of a rehearsal.
        "access_logs.s3.bucket": None,
        "access_logs.s3.enabled": None,
        "access_logs.s3.prefix": None,
        "client_keep_alive.seconds": None,
        "deletion_protection.enabled": frozenset(("false",)),
        "idle_timeout.timeout_seconds": None,
        "routing.http.desync_mitigation_mode": frozenset(("defensive",)),  # the process is as strict
        "routing.http.drop_invalid_header_fields.enabled": None,
    },
    "TargetGroup": {
        "deregistration_delay.timeout_seconds": None,
        "load_balancing.algorithm.type": frozenset(("round_robin", "least_outstanding_requests")),
        "slow_start.duration_seconds": frozenset(("0",)),
        "stickiness.enabled": frozenset(("false",)),
        "stickiness.type": None,  # without effect while stickiness is off
    },
}
CONDITIONS = frozenset(("path-pattern", "host-header", "http-request-method"))
PREFIX = "AWS::ElasticLoadBalancingV2::"

_PROPERTIES: Mapping[str, frozenset[str]] = {
    "LoadBalancer": frozenset(
        ("IpAddressType", "LoadBalancerAttributes", "Name", "Scheme", "SecurityGroups", "Subnets", "Tags", "Type")
    ),
    "TargetGroup": frozenset(
        (
            "HealthCheckEnabled",
            "HealthCheckIntervalSeconds",
            "HealthCheckPath",
            "HealthCheckPort",
            "HealthCheckProtocol",
            "HealthCheckTimeoutSeconds",
            "HealthyThresholdCount",
            "IpAddressType",
            "Matcher",
            "Name",
            "Port",
            "Protocol",
            "ProtocolVersion",
            "Tags",
            "TargetGroupAttributes",
            "TargetType",
            "UnhealthyThresholdCount",
            "VpcId",
        )
    ),
    "Listener": frozenset(
        ("Certificates", "DefaultActions", "LoadBalancerArn", "Port", "Protocol", "SslPolicy", "Tags")
    ),
    "ListenerRule": frozenset(("Actions", "Conditions", "ListenerArn", "Priority", "Tags")),
}


def check(kind: str, properties: Properties) -> None:
    """Refuse what cannot be served.

    Args:
        kind: ``LoadBalancer``, ``TargetGroup``, ``Listener`` or ``ListenerRule``.
        properties: As in a template.

    Raises:
        UnsupportedPropertyError: Names the property and what is allowed.
    """
    unknown = sorted(set(properties) - _PROPERTIES[kind])
    if unknown:
        _refuse(
            kind, ", ".join(unknown), "an unknown property", f"the embedded AWS honours {sorted(_PROPERTIES[kind])}"
        )
    _CHECKS[kind](properties)


def check_attributes(kind: str, attributes: Iterable[Mapping[str, Any]]) -> None:
    """Refuse attributes, or values of them, that have no effect here.

    Args:
        kind: ``LoadBalancer`` or ``TargetGroup``.
        attributes: Pairs of Key and Value.

    Raises:
        UnsupportedPropertyError: Names the attribute and what is allowed.
    """
    honoured = ATTRIBUTES[kind]
    for attribute in attributes:
        key, value = str(attribute.get("Key")), str(attribute.get("Value")).lower()
        if key not in honoured:
            _refuse(kind, f"{kind}Attributes", key, f"honoured are {sorted(honoured)}")
        allowed = honoured[key]
        if allowed is not None and value not in allowed:
            _refuse(kind, f"{kind}Attributes", f"{key} = {value}", f"allowed is {' or '.join(sorted(allowed))}")


def _load_balancer(properties: Properties) -> None:
    _one_of("LoadBalancer", properties, "Type", ("application",))
    check_attributes("LoadBalancer", properties.get("LoadBalancerAttributes", ()))


def _target_group(properties: Properties) -> None:
    _one_of("TargetGroup", properties, "TargetType", ("ip",), required=True)
    _one_of("TargetGroup", properties, "Protocol", ("HTTP", "HTTPS"))
    _one_of("TargetGroup", properties, "ProtocolVersion", ("HTTP1",))
    _one_of("TargetGroup", properties, "HealthCheckProtocol", ("HTTP", "HTTPS"))
    check_attributes("TargetGroup", properties.get("TargetGroupAttributes", ()))


def _listener(properties: Properties) -> None:
    _one_of("Listener", properties, "Protocol", ("HTTP", "HTTPS"))
    _actions("Listener", properties.get("DefaultActions", ()))


def _listener_rule(properties: Properties) -> None:
    _actions("ListenerRule", properties.get("Actions", ()))
    for condition in properties.get("Conditions", ()):
        if condition.get("Field") not in CONDITIONS:
            _refuse("ListenerRule", "Conditions", f"{condition.get('Field')}", f"allowed are {sorted(CONDITIONS)}")


def _actions(kind: str, actions: Iterable[Mapping[str, Any]]) -> None:
    for action in actions:
        if action.get("Type") not in ACTIONS:
            _refuse(kind, "Actions", f"{action.get('Type')}", f"allowed are {sorted(ACTIONS)}")
        if len(action.get("ForwardConfig", {}).get("TargetGroups", ())) > 1:
            _refuse(kind, "Actions", "a forward to several target groups", "forward to one")


def _one_of(kind: str, properties: Properties, name: str, allowed: tuple[str, ...], *, required: bool = False) -> None:
    value = properties.get(name)
    if value not in allowed and (required or value is not None):
        _refuse(kind, name, f"{value}", f"allowed is {' or '.join(allowed)}")


def _refuse(kind: str, name: str, found: str, allowed: str) -> None:
    raise UnsupportedPropertyError(
        f"{PREFIX}{kind}: {name}: {found} is not supported by the embedded AWS's load balancer: {allowed}"
    )


_CHECKS: Mapping[str, Callable[[Properties], None]] = {
    "LoadBalancer": _load_balancer,
    "TargetGroup": _target_group,
    "Listener": _listener,
    "ListenerRule": _listener_rule,
}
