"""DMS's pure parts: table mappings, task settings, lag, validation."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_rehearsal.cloud.dms.lag import Ages
from pm_rehearsal.cloud.dms.mappings import MappingError, parse_mappings
from pm_rehearsal.cloud.dms.mover import object_name
from pm_rehearsal.cloud.dms.settings import SettingsError, Validation, parse_settings
from pm_rehearsal.cloud.dms.validation import MISSING_SOURCE, MISSING_TARGET, RECORD_DIFF, compare, differing

LOADED = {"FullLoadSettings": {"TargetTablePrepMode": "DO_NOTHING"}}
TABLES = [("public", "accounts"), ("public", "payments"), ("pm_control", "marker"), ("audit", "payments")]
names = st.text(st.characters(codec="ascii", categories=("L", "N"), include_characters="_%[]^.* "), min_size=1)


def rule(schema: str, table: str, action: str = "include", **more: Any) -> dict[str, Any]:
    return {
        "rule-type": "selection",
        "rule-id": f"{schema}.{table}.{action}",
        "rule-name": "rule",
        "object-locator": {"schema-name": schema, "table-name": table},
        "rule-action": action,
    } | more


def document(*rules: dict[str, Any]) -> str:
    return json.dumps({"rules": rules})


@pytest.mark.parametrize(
    ("rules", "selected"),
    [
        ([rule("public", "%")], [("public", "accounts"), ("public", "payments")]),
        ([rule("%", "pay%")], [("audit", "payments"), ("public", "payments")]),
        ([rule("%", "%"), rule("audit", "%", "exclude"), rule("pm%", "%", "exclude")], TABLES[:2]),
        ([rule("public", "[ab]ccounts")], [("public", "accounts")]),
        ([rule("public", "[^ab]%")], [("public", "payments")]),
        ([rule("pm_control", "marker")], [("pm_control", "marker")]),
        ([rule("public", "pay%", "explicit")], []),
        ([rule("public", "payments", "explicit")], [("public", "payments")]),
        ([rule("public", ".*")], []),
        ([rule("pm[_]control", "m_rker")], [("pm_control", "marker")]),
        ([rule("public", "%[[]%"), rule("public", "%[^]%")], []),
    ],
)
def test_mappings_select(rules: list[dict[str, Any]], selected: list[tuple[str, str]]) -> None:
    assert parse_mappings(document(*rules)).select(TABLES) == selected


@given(schema=names, table=names)
def test_an_explicit_rule_selects_exactly_its_table(schema: str, table: str) -> None:
    mappings = parse_mappings(document(rule(schema, table, "explicit")))
    assert mappings.select([*TABLES, (schema, table)]) == [(schema, table)]


@given(schema=names, table=names)
def test_excluding_everything_selects_nothing(schema: str, table: str) -> None:
    mappings = parse_mappings(document(rule(schema, table), rule("%", "%", "exclude")))
    assert mappings.select([*TABLES, (schema, table)]) == []


def test_a_table_named_one_by_one_is_missed_when_it_does_not_exist() -> None:
    mappings = parse_mappings(document(rule("public", "payments"), rule("public", "refunds"), rule("other", "%")))
    assert mappings.missing(TABLES) == [("public", "refunds")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "must be"),
        (document(), "at least one rule"),
        (document(rule("a", "b", "exclude")), "at least one rule"),
        (document(rule("a", "b"), rule("a", "b")), "rule-id of its own"),
        (document(rule("a", "b", **{"rule-type": "transformation"})), "'transformation' is not supported"),
        (document(rule("a", "b", filters=[{"column-name": "id"}])), "filters"),
        (document(rule("a", "b", **{"load-order": "1"})), "load-order"),
        (document(rule("a", "b", "drop")), "'drop' is not one of"),
        (document(rule("a", "")), "needs schema-name and table-name"),
    ],
)
def test_mappings_that_would_be_misread_are_refused(text: str, message: str) -> None:
    with pytest.raises(MappingError, match=message):
        parse_mappings(text)


def test_settings_decide_about_truncation_and_validation() -> None:
    text = json.dumps(
        {
            "FullLoadSettings": {"TargetTablePrepMode": "TRUNCATE_BEFORE_LOAD"},
            "ChangeProcessingDdlHandlingPolicy": {"HandleSourceTableTruncated": False},
            "ControlTablesSettings": {"ControlSchema": "pm_control"},
            "ValidationSettings": {
                "EnableValidation": True,
                "ValidationMode": "ROW_LEVEL",
                "ThreadCount": 5,
                "RecordFailureDelayInMinutes": 2,
                "FailureMaxCount": 9,
                "TableFailureMaxCount": 3,
            },
        }
    )
    settings = parse_settings(text, load=True)
    assert (settings.truncate, settings.capture_truncate) == (True, False)
    assert settings.validation == Validation(failure_delay_minutes=2, failures_at_most=9, table_failures_at_most=3)
    assert settings.control_schema == "pm_control"
    assert not parse_settings(text, load=False).truncate


def test_dms_s_defaults_validate_nothing_and_keep_control_tables_in_public() -> None:
    settings = parse_settings("{}", load=False)
    assert (settings.validation, settings.control_schema) == (None, "public")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "DROP_AND_CREATE is not supported"),
        ({"FullLoadSettings": {"TargetTablePrepMode": "DROP_AND_CREATE"}}, "create the tables on the target"),
        ({"Fullload": {}}, "unknown section Fullload"),
        ({"BeforeImageSettings": {"EnableBeforeImage": True}}, "BeforeImageSettings"),
        (
            {"FullLoadSettings": {"TargetTablePrepMode": "DO_NOTHING"}, "TargetMetadata": {"SupportLobs": False}},
            "drop text",
        ),
        ({**LOADED, "ValidationSettings": {"EnableValidaton": True}}, "unknown setting EnableValidaton"),
        ({**LOADED, "ValidationSettings": {"EnableValidation": True, "ValidationMode": "ALL"}}, "ALL is not one of"),
        ({**LOADED, "ValidationSettings": {"EnableValidation": True, "ValidationOnly": True}}, "ValidationOnly"),
        ({**LOADED, "ControlTablesSettings": {"Schema": "x"}}, "unknown setting Schema"),
        ({**LOADED, "ControlTablesSettings": {"StatusTableEnabled": True}}, "StatusTableEnabled"),
    ],
)
def test_settings_that_the_embedded_aws_cannot_honour_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_settings(json.dumps(settings), load=True)


def test_lag_is_the_age_of_the_oldest_change_that_has_not_arrived() -> None:
    ages = Ages()
    for second, position in enumerate((100, 200, 300)):
        ages.observe(float(second), position)
    assert ages.age(10.0, 300) == 0.0
    assert ages.age(10.0, 299) == 8.0
    assert ages.age(10.0, 100) == 9.0
    ages.forget(200)
    assert ages.age(10.0, 0) == 8.0


@given(
    positions=st.lists(st.integers(0, 1000), min_size=1).map(sorted),
    reached=st.integers(0, 1000),
    more=st.integers(0, 1000),
)
def test_lag_never_grows_when_more_has_arrived(positions: list[int], reached: int, more: int) -> None:
    ages = Ages()
    for second, position in enumerate(positions):
        ages.observe(float(second), position)
    now = float(len(positions))
    assert ages.age(now, reached + more) <= ages.age(now, reached)


def test_validation_tells_how_a_row_differs() -> None:
    source = {"1": 10, "2": 20, "3": 30}
    comparison = compare(source, {"1": 10, "2": 21, "4": 40}, source)
    assert comparison.failed == {"2": RECORD_DIFF, "3": MISSING_TARGET, "4": MISSING_SOURCE}
    assert comparison.pending == []


contents = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 2))


@given(before=contents, target=contents, after=contents)
def test_validation_judges_only_rows_that_did_not_change_meanwhile(
    before: dict[str, int], target: dict[str, int], after: dict[str, int]
) -> None:
    comparison = compare(before, target, after)
    for key in before.keys() | target.keys() | after.keys():
        changed = before.get(key) != after.get(key)
        assert (key in comparison.pending) is changed
        assert (key in comparison.failed) is (not changed and before.get(key) != target.get(key))


@given(source=contents, target=contents)
def test_buckets_that_differ_are_read_row_by_row(source: dict[str, int], target: dict[str, int]) -> None:
    left, right = ({ord(key): value for key, value in side.items()} for side in (source, target))
    assert differing(left, right) == [
        bucket for bucket in sorted({*left, *right}) if left.get(bucket) != right.get(bucket)
    ]


@given(st.text(st.characters(codec="ascii", categories=("L", "N"), include_characters="-"), min_size=1))
def test_object_names_fit_postgresql(identifier: str) -> None:
    assert len(object_name(identifier)) <= 63
    assert object_name(identifier).isidentifier()


def test_long_task_names_stay_apart() -> None:
    assert object_name("a" * 80 + "b") != object_name("a" * 80 + "c")
