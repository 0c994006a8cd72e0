"""What a failed attempt means for the next one."""

import enum

import psycopg

FENCED = "PF001"

_LOST_CLASSES = ("08", "57P")
_LOST = ("25006", "53300", "25P03", "25P04")
# The last one: a prepared statement is not there; the connection is closed, the next one prepares anew.
_CONFLICTS = ("40001", "40P01", "26000")
# A schema that is dropped meanwhile shows as any of these, depending on how far the call into it had come.
_FENCE_REMOVED = ("3F000", "42883", "42P01", "XX000")


class Verdict(enum.Enum):
    """What to do about a database error."""

    FENCED = "read the words again, then retry"
    LOST = "the connection or the server is gone: read the words again, then retry"
    CONFLICT = "retry a few times"
    FENCE_REMOVED = "retry only if the words have changed"
    FINAL = "the work's own error"


def judge(error: psycopg.Error) -> Verdict:
    """The verdict on one error, from its SQLSTATE.

    Source: PostgreSQL documentation, appendix A, error codes; ``PF001`` is the fence's.
    """
    state = error.sqlstate
    if state is None:
        # Made by libpq or psycopg, not sent by a server: the connection broke.
        return Verdict.LOST if isinstance(error, psycopg.OperationalError) else Verdict.FINAL
    if state == FENCED:
        return Verdict.FENCED
    if state.startswith(_LOST_CLASSES) or state in _LOST:
        return Verdict.LOST
    if state in _CONFLICTS:
        return Verdict.CONFLICT
    return Verdict.FENCE_REMOVED if state in _FENCE_REMOVED else Verdict.FINAL
