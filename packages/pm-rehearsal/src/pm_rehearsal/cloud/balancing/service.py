"""How the load balancers hook into MiniStack: target registration and health in the API, refusals in CloudFormation."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any
from xml.sax.saxutils import escape

from pm_rehearsal.cloud.balancing import refusals
from pm_rehearsal.cloud.balancing.traffic import Traffic, traffic_of
from pm_rehearsal.cloud.extension import (
    CreateHandler,
    Extension,
    Properties,
    Provisioned,
    Request,
    Response,
    UnsupportedPropertyError,
    UpdateHandler,
)

_KINDS = {
    "CreateLoadBalancer": "LoadBalancer",
    "CreateTargetGroup": "TargetGroup",
    "CreateListener": "Listener",
    "ModifyListener": "Listener",
    "CreateRule": "ListenerRule",
    "ModifyRule": "ListenerRule",
}
_ATTRIBUTES = {"ModifyLoadBalancerAttributes": "LoadBalancer", "ModifyTargetGroupAttributes": "TargetGroup"}


def install(extension: Extension) -> None:
    """Give every application load balancer a process."""
    traffic = traffic_of(extension)
    extension.intercept("elasticloadbalancing", _Api(extension, traffic))
    for kind in ("LoadBalancer", "TargetGroup", "Listener", "ListenerRule"):
        extension.wrap(refusals.PREFIX + kind, create=partial(_create, kind), update=partial(_update, kind))


class _Api:
    """Target registration as we keep it; everything else is MiniStack's."""

    def __init__(self, extension: Extension, traffic: Traffic) -> None:
        self._alb = extension.module("services.alb")
        self._traffic = traffic

    def __call__(self, request: Request) -> Response | None:
        if request.action in _KINDS or request.action in _ATTRIBUTES:
            return self._refusal(request)
        group = str(request.parameters.get("TargetGroupArn", ""))
        if request.action not in ("RegisterTargets", "DeregisterTargets", "DescribeTargetHealth"):
            return None
        if group not in self._alb._tgs:
            return None  # MiniStack's own error
        targets = _targets(request.parameters, default_port=int(self._alb._tgs[group]["Port"]))
        if request.action == "DescribeTargetHealth":
            return self._describe(group, targets)
        for host, port in targets:
            if request.action == "RegisterTargets":
                self._traffic.register(group, host, port)
            else:
                self._traffic.deregister(group, host, port)
        answer: Response = self._alb._empty(request.action)
        return answer

    def _describe(self, group: str, wanted: list[tuple[str, int]]) -> Response:
        members = []
        for target, health in self._traffic.targets(group):
            if wanted and (target.host, target.port) not in wanted:
                continue
            why = (
                f"<Reason>{health.reason}</Reason><Description>{escape(health.description)}</Description>"
                if health.reason
                else ""
            )
            members.append(
                f"<member><Target><Id>{target.host}</Id><Port>{target.port}</Port></Target>"
                f"<HealthCheckPort>{target.port}</HealthCheckPort>"
                f"<TargetHealth><State>{health.state}</State>{why}</TargetHealth></member>"
            )
        inner = f"<TargetHealthDescriptions>{''.join(members)}</TargetHealthDescriptions>"
        answer: Response = self._alb._xml(200, "DescribeTargetHealth", inner)
        return answer

    def _refusal(self, request: Request) -> Response | None:
        try:
            if request.action in _ATTRIBUTES:
                refusals.check_attributes(_ATTRIBUTES[request.action], _pairs(request.parameters))
            else:
                kind = _KINDS[request.action]
                refusals.check(kind, _properties(kind, request.parameters))
        except UnsupportedPropertyError as error:
            answer: Response = self._alb._error("ValidationError", str(error))
            return answer
        return None


def _create(
    kind: str, original: CreateHandler, logical_id: str, properties: Properties, stack_name: str
) -> Provisioned:
    refusals.check(kind, properties)
    return original(logical_id, properties, stack_name)


def _update(
    kind: str,
    original: UpdateHandler,
    physical_id: str,
    old: Properties,
    new: Properties,
    stack_name: str,
    logical_id: str,
) -> Provisioned:
    refusals.check(kind, new)
    return original(physical_id, old, new, stack_name, logical_id)


def _targets(parameters: Mapping[str, Any], *, default_port: int) -> list[tuple[str, int]]:
    targets: list[tuple[str, int]] = []
    while host := parameters.get(f"Targets.member.{len(targets) + 1}.Id"):
        port = parameters.get(f"Targets.member.{len(targets) + 1}.Port")
        targets.append((str(host), int(port) if port else default_port))
    return targets


def _pairs(parameters: Mapping[str, Any]) -> list[dict[str, str]]:
    pairs: list[dict[str, str]] = []
    while key := parameters.get(f"Attributes.member.{len(pairs) + 1}.Key"):
        pairs.append({"Key": str(key), "Value": str(parameters.get(f"Attributes.member.{len(pairs) + 1}.Value", ""))})
    return pairs


def _properties(kind: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a request that ``refusals`` looks at, in a template's shape."""
    names = {"LoadBalancer": ("Type",), "TargetGroup": ("TargetType", "Protocol", "ProtocolVersion")}
    properties = {name: parameters[name] for name in names.get(kind, ("Protocol",)) if name in parameters}
    actions = "Actions" if kind == "ListenerRule" else "DefaultActions"
    for list_name, field in ((actions, "Type"), ("Conditions", "Field")):
        pattern = re.compile(rf"{list_name}\.member\.\d+\.{field}")
        found = [{field: value} for name, value in parameters.items() if pattern.fullmatch(name)]
        if found:
            properties[list_name] = found
    return properties
