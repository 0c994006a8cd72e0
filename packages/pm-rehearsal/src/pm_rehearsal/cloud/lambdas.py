"""Lambda functions run with this Python, find ``cfnresponse`` as on AWS, and die with the server.

A custom resource whose handler crashes is reported as failed at once: on AWS, too, it can never answer, but there the
stack waits for an hour.
"""

import io
import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pm_postgres
from pm_rehearsal.cloud.extension import Extension

SHIM = Path(__file__).parent / "lambda_shim"
CALLBACK_PATH = "/_ministack/cfn-response/"
REASON_LENGTH = 600


def install(extension: Extension) -> None:
    """Replace how MiniStack starts workers and how it calls custom resources."""
    runtime = extension.module("core.lambda_runtime")
    runtime.subprocess = SimpleNamespace(**vars(subprocess) | {"Popen": _popen})
    extension.on_stop(lambda: runtime.reset())
    _fail_crashed_custom_resources(extension)


def _popen(argv: list[str], *, env: dict[str, str], cwd: str, **streams: Any) -> "subprocess.Popen[Any]":
    """What MiniStack calls ``subprocess.Popen`` for: a text-mode worker, here one that dies with the server."""
    text = streams.pop("text", False)
    streams.pop("bufsize", None)
    path = os.pathsep.join(filter(None, (env.get("PYTHONPATH"), str(SHIM))))
    worker: subprocess.Popen[Any] = pm_postgres.spawn(argv, env=env | {"PYTHONPATH": path}, cwd=Path(cwd), **streams)
    if text:
        for name in ("stdin", "stdout", "stderr"):
            stream = getattr(worker, name)
            if stream is not None:
                setattr(worker, name, io.TextIOWrapper(stream, encoding="utf-8", line_buffering=True))
    return worker


def _fail_crashed_custom_resources(extension: Extension) -> None:
    lambda_service = extension.module("services.lambda_svc")
    custom_resources = extension.module("services.cloudformation.custom_resource")
    execute = lambda_service._execute_function_with_config_scope

    def watched(function: Any, event: Any) -> Any:
        result = execute(function, event)
        url = event.get("ResponseURL", "") if isinstance(event, dict) else ""
        if CALLBACK_PATH in url and isinstance(result, dict) and result.get("error"):
            reason = f"the handler of {event.get('LogicalResourceId')} crashed: {json.dumps(result.get('body'))}"
            answer = {"Status": "FAILED", "Reason": reason[:REASON_LENGTH]}
            custom_resources.deliver_response(url.rpartition("/")[2], answer)
        return result

    lambda_service._execute_function_with_config_scope = watched
