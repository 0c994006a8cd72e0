from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_core import NameTooLongError, Settings, resource_name, stack_name, tags
from pm_core.names import LIMITS, ResourceType
from pm_core.settings import SUFFIX_MAX_LENGTH


@given(
    st.sampled_from(get_args(ResourceType)),
    st.sampled_from(["source", "target"]),
    st.text("abcz09", min_size=1, max_size=SUFFIX_MAX_LENGTH).map(lambda tail: ("a" + tail)[:SUFFIX_MAX_LENGTH]),
)
def test_unqualified_names_of_every_type_fit_every_suffix(kind: ResourceType, environment: str, suffix: str):
    name = resource_name(kind, environment, suffix)
    assert name == f"{kind}-{environment}-{suffix}"
    assert len(name) <= LIMITS[kind]


def test_every_type_has_a_limit():
    assert set(LIMITS) == set(get_args(ResourceType))


def test_a_name_over_the_limit_is_refused():
    with pytest.raises(NameTooLongError, match=r"AWS allows 32: use a shorter environmentSuffix"):
        resource_name("load-balancer", "source", "abcdefghijkl", qualifier="internal")


def test_reserved_characters_count():
    assert resource_name("bucket", "source", "dev", qualifier="logs", reserve=13) == "bucket-logs-source-dev"
    with pytest.raises(NameTooLongError):
        resource_name("bucket", "source", "dev", qualifier="logs", reserve=42)


def test_a_qualifier_with_other_characters_is_refused():
    with pytest.raises(ValueError, match="lower-case letters"):
        resource_name("secret", "source", "dev", qualifier="pm_app")


def test_stacks_are_named_after_tier_and_environment():
    assert stack_name("data", "source", "dev") == "pm-data-source-dev"
    assert stack_name("zone", "source", "dev") == "pm-zone-dev"


def test_tags_name_environment_phase_and_cost_center():
    settings = Settings.parse({"environmentSuffix": "dev", "domain": "payments.internal"})
    assert tags(settings, "source") == {
        "Environment": "source-dev",
        "MigrationPhase": "prepare",
        "CostCenter": "payments",
    }
