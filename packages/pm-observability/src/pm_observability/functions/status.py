"""The function behind ReplicationStatus: writer, tasks, lag, tables, validation and weights, as JSON.

Every part is asked for at the same time and for itself: one that cannot be read is ``{error}`` and spoils no other.
"""

import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from functools import partial
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pg8000.exceptions import DatabaseError, InterfaceError

from pm_core.database_access import SecretError

from .tasks import task_status
from .weights import weights
from .widget import markdown
from .writer import fence, writer

# Less than the function's own 30 s, so that an answer is always given.
ANSWER_SECONDS = 24.0
_AWS = Config(connect_timeout=3, read_timeout=8, retries={"max_attempts": 2, "mode": "standard"})
_UNREADABLE = (BotoCoreError, ClientError, DatabaseError, InterfaceError, OSError, SecretError)
_THREADS = 8

Part = Callable[[], dict[str, Any]]


def answers(parts: Mapping[str, Part], *, seconds: float) -> dict[str, dict[str, Any]]:
    """Ask for every part at once; ``{error}`` for one that fails or does not answer in time."""
    pool = ThreadPoolExecutor(max_workers=_THREADS)
    asked = {name: pool.submit(part) for name, part in parts.items()}
    wait(asked.values(), timeout=seconds)
    # Whoever still waits for an answer is left alone: its own timeouts end it.
    pool.shutdown(wait=False, cancel_futures=True)
    return {name: _answer(future, seconds) for name, future in asked.items()}


def _answer(future: Future[dict[str, Any]], seconds: float) -> dict[str, Any]:
    if not future.done() or future.cancelled():
        return {"error": f"no answer within {seconds:.0f} s"}
    try:
        return future.result()
    except _UNREADABLE as error:
        return {"error": _reason(error)}


def _reason(error: Exception) -> str:
    if isinstance(error, DatabaseError) and error.args and isinstance(error.args[0], dict):
        detail = error.args[0]  # pg8000 hands on the server's fields
        return f"{detail.get('M', 'the database refuses')} [{detail.get('C', '')}]"
    return f"{type(error).__name__}: {error}"


def status(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Everything, as it is now; see docs/runbook.md for the keys."""
    dms, cloudwatch, route53, secrets = (
        boto3.client(name, config=_AWS) for name in ("dms", "cloudwatch", "route53", "secretsmanager")
    )
    task = partial(task_status, dms, cloudwatch, instance=settings["instance"])
    side = partial(fence, secrets, ssl_mode=settings["ssl_mode"])
    parts: dict[str, Part] = {
        "weights": partial(weights, route53, zone_id=settings["zone"], record=settings["record"]),
        **{f"task {name}": partial(task, arn=arn) for name, arn in settings["tasks"].items()},
        **{f"fence {name}": partial(side, secret_arn=arn) for name, arn in settings["databases"].items()},
    }
    found = answers(parts, seconds=ANSWER_SECONDS)
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "writer": writer({name: found[f"fence {name}"] for name in settings["databases"]}),
        "tasks": {name: found[f"task {name}"] for name in settings["tasks"]},
        "weights": found["weights"],
    }


def handle(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """One GET request of the function's URL, which IAM has let in; or a dashboard's, for a text.

    Source: Amazon CloudWatch user guide, "Create a custom widget for a CloudWatch dashboard".
    """
    found = status(json.loads(os.environ["PM_STATUS"]))
    if "widgetContext" in event:
        return {"markdown": markdown(found)}
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(found)}
