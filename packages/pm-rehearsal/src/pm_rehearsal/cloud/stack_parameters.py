"""DescribeStacks as on AWS: a parameter that is read from SSM shows its path, and beside it what that held."""

import xml.etree.ElementTree as ET
from typing import Any

from pm_rehearsal.cloud.extension import Extension, Request, Response

_NAMESPACE = "http://cloudformation.amazonaws.com/doc/2010-05-15/"
_READ_FROM_SSM = "AWS::SSM::Parameter::Value<"


def install(extension: Extension) -> None:
    """Correct the answers of MiniStack, which shows the resolved value in the place of the path."""
    _Parameters(extension).install()


class _Parameters:
    def __init__(self, extension: Extension) -> None:
        self._extension = extension
        self._cloudformation = extension.module("services.cloudformation")

    def install(self) -> None:
        ET.register_namespace("", _NAMESPACE)
        self._extension.intercept("cloudformation", self._intercept)

    def _intercept(self, request: Request) -> Response | None:
        if request.action != "DescribeStacks":
            return None
        status, headers, body = request.forward()
        if status >= 400:
            return status, headers, body
        answer = ET.fromstring(body)  # noqa: S314 - MiniStack's own XML
        for stack in answer.iter(f"{{{_NAMESPACE}}}member"):
            if stack.find(_tag("StackName")) is not None:
                self._correct(stack)
        corrected = ET.tostring(answer, encoding="utf-8", xml_declaration=True)
        return status, {name: value for name, value in headers.items() if name.lower() != "content-length"}, corrected

    def _correct(self, stack: ET.Element) -> None:
        declared = self._declared(stack.findtext(_tag("StackName"), ""))
        for parameter in stack.iterfind(f"{_tag('Parameters')}/{_tag('member')}"):
            declaration = declared.get(parameter.findtext(_tag("ParameterKey"), ""), {})
            value = parameter.find(_tag("ParameterValue"))
            # MiniStack keeps no path that a caller gave in the place of the default.
            if value is not None and _is_read_from_ssm(declaration) and "Default" in declaration:
                ET.SubElement(parameter, _tag("ResolvedValue")).text = value.text
                value.text = str(declaration["Default"])

    def _declared(self, stack_name: str) -> dict[str, dict[str, Any]]:
        record = self._cloudformation._stacks.get(stack_name) or {}
        parameters: dict[str, dict[str, Any]] = record.get("_template", {}).get("Parameters", {})
        return parameters


def _is_read_from_ssm(declaration: dict[str, Any]) -> bool:
    return str(declaration.get("Type", "")).startswith(_READ_FROM_SSM)


def _tag(name: str) -> str:
    return f"{{{_NAMESPACE}}}{name}"
