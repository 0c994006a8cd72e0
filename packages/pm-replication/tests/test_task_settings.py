import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_replication import task_settings


def settings(**given: Any) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(task_settings(control_schema="pm_control", **given))
    return parsed


def test_load_goes_into_the_tables_that_are_there() -> None:
    assert settings()["FullLoadSettings"]["TargetTablePrepMode"] == "DO_NOTHING"


@given(st.integers(1, 102_400))
def test_long_values_are_replicated_up_to_the_limit(limit_kib: int) -> None:
    metadata = settings(lob_max_kib=limit_kib)["TargetMetadata"]
    assert metadata["SupportLobs"] is True
    assert metadata["LimitedSizeLobMode"] is True
    assert metadata["LobMaxSize"] == limit_kib


@pytest.mark.parametrize("limit_kib", [0, -1, 102_401])
def test_lob_limit_outside_of_dms_range_is_refused(limit_kib: int) -> None:
    with pytest.raises(ValueError, match="102400"):
        settings(lob_max_kib=limit_kib)


def test_one_source_transaction_is_one_target_transaction() -> None:
    assert settings()["TargetMetadata"]["BatchApplyEnabled"] is False


def test_tasks_log_to_cloudwatch() -> None:
    assert settings()["Logging"]["EnableLogging"] is True


def test_a_row_that_does_not_fit_stops_the_task() -> None:
    behavior = settings()["ErrorBehavior"]
    assert behavior["DataErrorPolicy"] == behavior["DataTruncationErrorPolicy"] == "STOP_TASK"
    assert behavior["TableErrorPolicy"] == "STOP_TASK"


def test_a_task_waits_for_a_database_longer_than_a_failover_takes() -> None:
    behavior = settings()["ErrorBehavior"]
    assert behavior["RecoverableErrorThrottling"] is True
    # By default DMS gives up as soon as the waits have grown to the longest, half a minute after it began.
    assert behavior["RecoverableErrorStopRetryAfterThrottlingMax"] is False
    # Minus one does not mean for ever, but nine times.
    assert behavior["RecoverableErrorCount"] * behavior["RecoverableErrorThrottlingMax"] > 3600


def test_replay_after_a_crash_is_harmless() -> None:
    behavior = settings()["ErrorBehavior"]
    assert behavior["ApplyErrorInsertPolicy"] == "UPDATE_RECORD"
    assert behavior["ApplyErrorDeletePolicy"] == "IGNORE_RECORD"


def test_a_dropped_or_truncated_table_is_not_repeated_on_the_other_side() -> None:
    handling = settings()["ChangeProcessingDdlHandlingPolicy"]
    assert set(handling.values()) == {False}


def test_dms_keeps_its_own_tables_in_the_engine_s_schema() -> None:
    assert settings()["ControlTablesSettings"] == {"ControlSchema": "pm_control"}


@given(st.integers(1, 20))
def test_every_row_is_compared_long_values_too(threads: int) -> None:
    validation = settings(validation_threads=threads)["ValidationSettings"]
    assert (validation["EnableValidation"], validation["ValidationMode"]) == (True, "ROW_LEVEL")
    assert validation["ThreadCount"] == threads
    assert validation["SkipLobColumns"] is False
    assert 0 < validation["TableFailureMaxCount"] <= validation["FailureMaxCount"] <= 10_000
    assert validation["RecordFailureDelayInMinutes"] >= 1  # a row under way is not a difference


def test_nothing_is_compared_without_threads() -> None:
    assert settings()["ValidationSettings"] == {"EnableValidation": False}


@pytest.mark.parametrize("threads", [-1, 21])
def test_a_number_of_threads_that_dms_would_not_run_is_refused(threads: int) -> None:
    with pytest.raises(ValueError, match=r"0 .*to 20"):
        settings(validation_threads=threads)
