import psycopg
import pytest

from pm_writer.sqlstates import Verdict, judge


def error_of(sqlstate: str) -> psycopg.Error:
    error = psycopg.DatabaseError()
    error.sqlstate = sqlstate
    return error


@pytest.mark.parametrize(
    ("sqlstate", "verdict"),
    [
        ("PF001", Verdict.FENCED),
        ("08006", Verdict.LOST),
        ("57P01", Verdict.LOST),  # terminated by an administrator
        ("57P03", Verdict.LOST),  # starting up
        ("25006", Verdict.LOST),  # read-only: a standby
        ("53300", Verdict.LOST),  # too many connections
        ("40001", Verdict.CONFLICT),
        ("40P01", Verdict.CONFLICT),
        ("26000", Verdict.CONFLICT),  # a prepared statement is gone
        ("3F000", Verdict.FENCE_REMOVED),
        ("42883", Verdict.FENCE_REMOVED),
        ("57014", Verdict.FINAL),  # a statement's timeout
        ("23505", Verdict.FINAL),
        ("42P01", Verdict.FENCE_REMOVED),
    ],
)
def test_sqlstate_decides(sqlstate: str, verdict: Verdict):
    assert judge(error_of(sqlstate)) is verdict


def test_an_error_that_no_server_sent_is_a_lost_connection():
    assert judge(psycopg.OperationalError("server closed the connection unexpectedly")) is Verdict.LOST
    assert judge(psycopg.ProgrammingError("the query has 1 placeholder but 0 parameters were passed")) is Verdict.FINAL
