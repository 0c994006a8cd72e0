import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_replication import task_settings


def test_load_goes_into_the_tables_that_are_there() -> None:
    assert json.loads(task_settings())["FullLoadSettings"]["TargetTablePrepMode"] == "DO_NOTHING"


@given(st.integers(1, 102_400))
def test_long_values_are_replicated_up_to_the_limit(limit_kib: int) -> None:
    metadata = json.loads(task_settings(lob_max_kib=limit_kib))["TargetMetadata"]
    assert metadata["SupportLobs"] is True
    assert metadata["LimitedSizeLobMode"] is True
    assert metadata["LobMaxSize"] == limit_kib


@pytest.mark.parametrize("limit_kib", [0, -1, 102_401])
def test_lob_limit_outside_of_dms_range_is_refused(limit_kib: int) -> None:
    with pytest.raises(ValueError, match="102400"):
        task_settings(lob_max_kib=limit_kib)


def test_one_source_transaction_is_one_target_transaction() -> None:
    assert json.loads(task_settings())["TargetMetadata"]["BatchApplyEnabled"] is False


def test_tasks_log_to_cloudwatch() -> None:
    assert json.loads(task_settings())["Logging"]["EnableLogging"] is True


def test_a_row_that_does_not_fit_stops_the_task() -> None:
    behavior = json.loads(task_settings())["ErrorBehavior"]
    assert behavior["DataErrorPolicy"] == behavior["DataTruncationErrorPolicy"] == "STOP_TASK"
    assert behavior["TableErrorPolicy"] == "STOP_TASK"


def test_replay_after_a_crash_is_harmless() -> None:
    behavior = json.loads(task_settings())["ErrorBehavior"]
    assert behavior["ApplyErrorInsertPolicy"] == "UPDATE_RECORD"
    assert behavior["ApplyErrorDeletePolicy"] == "IGNORE_RECORD"


def test_a_dropped_or_truncated_table_is_not_repeated_on_the_other_side() -> None:
    handling = json.loads(task_settings())["ChangeProcessingDdlHandlingPolicy"]
    assert set(handling.values()) == {False}
