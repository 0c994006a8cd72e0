import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_core import Settings, SettingsError

GOOD = {"environmentSuffix": "dev", "domain": "payments.internal"}


def test_two_settings_are_enough():
    settings = Settings.parse(GOOD)
    assert settings.record_name == "pay.payments.internal"
    assert settings.database_instance_class == "r5.large"
    assert settings.database_storage_gib == 100
    assert settings.region == "us-east-1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"environmentSuffix": "Dev"},
            r"settings\.environmentSuffix: 'Dev': use 2 to 11 lower-case letters",
        ),
        ({"environmentSuffix": "abcdefghijkl"}, "use 2 to 11"),
        ({"domain": "shop.example.com"}, "reserved for documentation"),
        ({"replicaRegion": "us-east-1"}, "replicaRegion 'us-east-1' must differ from region"),
        (
            {"target": {"cidr": "10.10.128.0/17"}},
            r"source\.cidr .* and target\.cidr 10\.10\.128\.0/17 overlap",
        ),
        ({"source": {"cidr": "10.0.0.0/8"}}, "a VPC takes /16 to /24"),
        ({"tables": ["payments"]}, "'payments': write each table as schema.table"),
        ({"tables": ["public.%"]}, "no wildcards"),
        ({"availabilityZones": ["us-east-1a", "us-west-2a"]}, "different zones of us-east-1"),
        ({"colour": "blue"}, r"settings\.colour: no such setting"),
        ({"migrationPhase": "later"}, "migrationPhase: 'later'"),
        ({"databaseMaxConnections": 20}, "databaseMaxConnections: 20"),
        ({"runbookUrl": "http://wiki.acme.test/runbook"}, "runbookUrl"),
        ({"runbookUrl": "https://wiki.acme.test/runbook#alarms"}, "runbookUrl"),
    ],
)
def test_wrong_settings_say_where_and_what_is_allowed(change: dict[str, object], message: str):
    with pytest.raises(SettingsError, match=message) as caught:
        Settings.parse(GOOD | change)
    assert "\n" not in str(caught.value)


def test_a_service_has_room_for_the_traffic_of_both_environments():
    settings = Settings.parse(GOOD | {"target": {"cidr": "10.20.0.0/16", "desiredCount": 3}})
    assert settings.target.max_count == 12


def test_missing_settings_are_named_together():
    with pytest.raises(SettingsError, match=r"environmentSuffix: is required; settings\.domain: is required"):
        Settings.parse({})


@given(st.from_regex(r"[a-z][a-z0-9]{1,10}", fullmatch=True))
def test_every_allowed_suffix_is_taken(suffix: str):
    assert Settings.parse(GOOD | {"environmentSuffix": suffix}).environment_suffix == suffix


@given(st.text(max_size=20).filter(lambda text: not re.fullmatch(r"[a-z][a-z0-9]{1,10}", text)))
def test_every_other_text_is_refused_as_a_setting(suffix: str):
    with pytest.raises(SettingsError, match="environmentSuffix"):
        Settings.parse(GOOD | {"environmentSuffix": suffix})


def test_a_domain_that_nobody_can_delegate_is_refused_for_an_account() -> None:
    private = {"environmentSuffix": "t1", "domain": "payments.internal"}
    assert Settings.parse(private).domain == "payments.internal"
    with pytest.raises(SettingsError, match="cannot be delegated"):
        Settings.parse(private | {"account": "123456789012"})


def test_a_name_that_acm_certifies_for_nobody_needs_a_certificate_of_ones_own() -> None:
    longest = {"environmentSuffix": "t1", "recordLabel": "p" * 50, "domain": "payments.test"}
    assert len(Settings.parse(longest).record_name) == 64
    longer = longest | {"recordLabel": "p" * 51}
    with pytest.raises(SettingsError, match=r"65 characters: ACM issues .* for 64 at most; .* certificateArn"):
        Settings.parse(longer)
    arn = "arn:aws:acm:us-east-1:123456789012:certificate/0a"
    assert len(Settings.parse(longer | {"certificateArn": arn}).record_name) == 65


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_databases_in_clear_text_are_for_rehearsals_only(mode: str) -> None:
    deployed = {"environmentSuffix": "t1", "domain": "payments.acme.test", "account": "123456789012"}
    assert Settings.parse(GOOD | {"databaseSslMode": "disable"}).database_ssl_mode == "disable"
    assert Settings.parse(deployed | {"databaseSslMode": mode}).database_ssl_mode == mode
    with pytest.raises(SettingsError, match=r"databaseSslMode 'disable' is refused for account 123456789012: .*verify"):
        Settings.parse(deployed | {"databaseSslMode": "disable"})
