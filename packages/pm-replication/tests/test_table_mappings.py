import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_replication import MappingError, table_mappings

names = st.from_regex(r"[a-z_][a-z0-9_]{0,20}", fullmatch=True)
tables = st.builds("{}.{}".format, names, names)


@given(st.lists(tables, min_size=1, max_size=30, unique=True))
def test_mapping_includes_exactly_the_listed_tables(listed: list[str]) -> None:
    rules = json.loads(table_mappings(listed))["rules"]
    included = {f"{rule['object-locator']['schema-name']}.{rule['object-locator']['table-name']}" for rule in rules}
    assert included == set(listed)
    assert all(rule["rule-type"] == "selection" and rule["rule-action"] == "include" for rule in rules)


@given(st.lists(tables, min_size=1, max_size=30, unique=True))
def test_rule_ids_and_names_are_unique(listed: list[str]) -> None:
    rules = json.loads(table_mappings(listed))["rules"]
    assert len({rule["rule-id"] for rule in rules}) == len({rule["rule-name"] for rule in rules}) == len(rules)
    assert all(rule["rule-id"].isdigit() for rule in rules)


@given(st.lists(tables, min_size=1, max_size=10, unique=True), st.randoms())
def test_order_of_the_settings_changes_nothing(listed: list[str], random: object) -> None:
    shuffled = sorted(listed, key=lambda _: random.random())  # type: ignore[attr-defined]  # hypothesis's Random
    assert table_mappings(shuffled) == table_mappings(listed)


@given(tables, st.sampled_from(["%", "*", "[", "]", " ", '"', ";"]), st.data())
def test_wildcards_and_odd_characters_are_refused(table: str, character: str, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(table)))
    with pytest.raises(MappingError, match="without wildcards"):
        table_mappings([table[:position] + character + table[position:]])


@pytest.mark.parametrize("wrong", ["payments", "a.b.c", ".payments", "public.", ""])
def test_anything_but_schema_and_table_is_refused(wrong: str) -> None:
    with pytest.raises(MappingError, match=r"schema\.table"):
        table_mappings([wrong])


def test_a_table_listed_twice_is_named() -> None:
    with pytest.raises(MappingError, match=r"more than once: public\.payments"):
        table_mappings(["public.payments", "public.refunds", "public.payments"])


def test_no_table_at_all_is_refused() -> None:
    with pytest.raises(MappingError, match="no table"):
        table_mappings([])
