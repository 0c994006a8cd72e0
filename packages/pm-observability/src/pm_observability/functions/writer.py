"""Who takes writes, as the databases themselves say: each has a fence word, epoch * 10 + state, in ``pm_control``."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pg8000.native import Connection

from pm_core.database_access import Credentials, tls

_CONNECT_SECONDS = 5
_STATES = ("open", "fenced", "sealed")
_NAME = "pm-status"

Fence = dict[str, Any]

trusted = cache(tls)
"""The TLS of a mode; the authorities are read once for as long as Lambda keeps the function warm."""


def fence(secrets: Any, *, secret_arn: str, ssl_mode: str) -> Fence:
    """The fence of one database: ``{installed, word, epoch, state}``; the last three are None without a fence.

    Args:
        secrets: A Secrets Manager client.
        secret_arn: Secret of a user that may log in.
        ssl_mode: disable, require, verify-ca or verify-full.

    Raises:
        BotoCoreError: Secrets Manager does not answer; ClientError: it refuses.
        SecretError: The secret is not one of a database.
        OSError: No connection in time; InterfaceError, DatabaseError: the server refuses.
    """
    login = Credentials.parse(secrets.get_secret_value(SecretId=secret_arn)["SecretString"])
    connection = Connection(
        login.username,
        host=login.host,
        port=login.port,
        database=login.dbname,
        password=login.password,
        ssl_context=trusted(ssl_mode),
        timeout=_CONNECT_SECONDS,
        application_name=_NAME,
    )
    try:
        # Everybody who may log in may read these two.
        ((installed,),) = connection.run("SELECT to_regclass('pm_control.fence') IS NOT NULL")
        if not installed:
            return {"installed": False, "word": None, "epoch": None, "state": None}
        ((word,),) = connection.run("SELECT pm_control.word()")
    finally:
        connection.close()
    return {"installed": True, "word": word, "epoch": word // 10, "state": _STATES[word % 10]}


def writer(fences: Mapping[str, Fence]) -> dict[str, Any]:
    """Which side is open, by the rule that the services follow, and each side's own answer.

    ``open`` is None while the writer moves, and when a side that could have been opened since does not answer.
    ``finished`` is true once `pm finish` has taken the fence off the target.

    Args:
        fences: By environment; ``{error}`` for one that did not answer.
    """
    source, target = fences["source"], fences["target"]
    if "error" in source or "error" in target:
        return {"open": None, "finished": False, **fences}
    finished = source["state"] == "sealed" and not target["installed"]
    return {"open": _open(fences, finished=finished), "finished": finished, **fences}


def _open(fences: Mapping[str, Fence], *, finished: bool) -> str | None:
    open_ones = [(one["epoch"], name) for name, one in fences.items() if one["state"] == "open"]
    if open_ones:
        return max(open_ones)[1]
    if not fences["source"]["installed"]:
        return "source"
    return "target" if finished else None
