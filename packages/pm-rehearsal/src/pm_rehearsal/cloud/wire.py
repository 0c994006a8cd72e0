"""What a subsystem of the embedded AWS sees of a call to an AWS service, and how it answers."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

Response = tuple[int, dict[str, str], bytes]  # HTTP status, headers, body
Action = Callable[[dict[str, Any]], dict[str, Any]]
JSON_TYPE = "application/x-amz-json-1.1"


class ServiceError(Exception):
    """What an action raises to answer with an AWS error.

    Args:
        code: The error's AWS name, for example ``ResourceNotFoundFault``.
        message: What was found, what is allowed, what to do.
        status: HTTP status. Default 400.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call to a service of MiniStack that an interceptor sees first.

    Attributes:
        action: For example ``RotateSecret``.
        parameters: The JSON body, or the flat form of the query protocol (``{"Tags.member.1.Key": "a"}``).
        path: The URL's path; what a REST service (Route 53, S3) is told apart by.
        method: HTTP method.
        body: As received.
        forward: Calls MiniStack's own implementation with the unchanged request.
    """

    action: str
    parameters: dict[str, Any]
    path: str
    method: str
    body: bytes
    forward: Callable[[], Response]


Interceptor = Callable[[Request], Response | None]


def json_response(body: Mapping[str, Any], status: int = 200) -> Response:
    """An answer in the JSON protocol."""
    return status, {"Content-Type": JSON_TYPE}, json.dumps(body, default=str).encode()


def error_response(code: str, message: str, status: int = 400) -> Response:
    """An AWS error in the JSON protocol."""
    return (
        status,
        {"Content-Type": JSON_TYPE, "x-amzn-errortype": code},
        json.dumps({"__type": code, "message": message}).encode(),
    )


def answer(action: Action, request: dict[str, Any]) -> Response:
    """What an action of a JSON service answers."""
    try:
        return json_response(action(request))
    except ServiceError as error:
        return error_response(error.code, str(error), error.status)


def call_of(headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The action's name and its parameters: the JSON body, or the flat form of the query protocol."""
    target = headers.get("x-amz-target", "")
    if target:
        return target.rpartition(".")[2], json.loads(body or b"{}")
    flat = {name: value[0] if isinstance(value, list) else value for name, value in query.items()}
    if "application/x-www-form-urlencoded" in headers.get("content-type", ""):
        flat |= dict(parse_qsl(body.decode(), keep_blank_values=True))
    return str(flat.get("Action", "")), flat
