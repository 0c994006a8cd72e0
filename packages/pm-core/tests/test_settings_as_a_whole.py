"""Whatever the settings allow can be deployed under names that AWS takes; whatever else is refused by its name."""

import ipaddress
from collections.abc import Mapping
from typing import Any, get_args

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_core import CONTRACTS, Environment, Settings, SettingsError, parameter_prefix, resource_name, stack_name, tags
from pm_core.names import LIMITS, ResourceType

ACCOUNT = "123456789012"
LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
# A parameter's name and a stack's have limits of their own. Source: SSM and CloudFormation API references.
PARAMETER_LIMIT, STACK_LIMIT, TAG_LIMIT = 1011, 128, 256


@st.composite
def cidr_pairs(draw: st.DrawFn) -> tuple[str, str]:
    """Two ranges of private addresses that do not overlap."""
    prefix = draw(st.integers(16, 24))
    numbers = st.integers(0, 2 ** (prefix - 8) - 1)
    first, second = draw(st.lists(numbers, min_size=2, max_size=2, unique=True))
    begin, size = int(ipaddress.IPv4Address("10.0.0.0")), 2 ** (32 - prefix)
    return (
        f"{ipaddress.IPv4Address(begin + first * size)}/{prefix}",
        f"{ipaddress.IPv4Address(begin + second * size)}/{prefix}",
    )


@st.composite
def valid_settings(draw: st.DrawFn) -> dict[str, Any]:
    """Every setting, each of its whole range."""
    source, target = draw(cidr_pairs())
    region, replica = draw(
        st.lists(st.sampled_from(["us-east-1", "us-west-2", "eu-central-1", "ap-southeast-2"]), min_size=2, unique=True)
    )[:2]
    zones = draw(st.lists(st.sampled_from("abcdef"), min_size=2, max_size=3, unique=True))

    domain, label = f"{draw(LABEL)}.{draw(LABEL)}.acme", draw(LABEL)
    arn = "arn:aws:acm:us-east-1:123456789012:certificate/0a"
    certificate = st.just(arn) if len(f"{label}.{domain}") > 64 else st.none() | st.just(arn)

    def environment(cidr: str) -> dict[str, Any]:
        return {
            "cidr": cidr,
            "natGateways": draw(st.integers(1, len(zones))),
            "multiAz": draw(st.booleans()),
            "desiredCount": draw(st.integers(1, 100)),
        }

    return {
        "environmentSuffix": draw(st.from_regex(r"[a-z][a-z0-9]{1,10}", fullmatch=True)),
        "account": draw(st.from_regex(r"[0-9]{12}", fullmatch=True)),
        "region": region,
        "replicaRegion": replica,
        "costCenter": draw(st.from_regex(r"[A-Za-z0-9_.:/=+@-]{1,64}", fullmatch=True)),
        "migrationPhase": draw(st.sampled_from(["prepare", "replicate", "shift", "cutover", "complete"])),
        "domain": domain,
        "certificateArn": draw(certificate),
        "hostedZoneId": draw(st.none() | st.from_regex(r"Z[A-Z0-9]{1,31}", fullmatch=True)),
        "recordLabel": label,
        "recordTtlSeconds": draw(st.integers(1, 60)),
        "availabilityZones": [f"{region}{zone}" for zone in zones],
        "source": environment(source),
        "target": environment(target),
        "databaseInstanceClass": draw(st.sampled_from(["r5.large", "m7g.4xlarge", "t4g.medium"])),
        "databaseStorageGib": draw(st.integers(20, 65536)),
        "databaseEngineVersion": draw(st.sampled_from(["17.6", "16.10"])),
        "databaseBackupDays": draw(st.integers(1, 35)),
        "databaseMaxConnections": draw(st.integers(1000, 5000)),
        "databaseSslMode": draw(st.sampled_from(["require", "verify-ca", "verify-full"])),
        "replicationInstanceClass": draw(st.sampled_from(["dms.r5.large", "dms.c6i.xlarge"])),
        "replicationStorageGib": draw(st.integers(20, 6144)),
        "replicationMultiAz": draw(st.booleans()),
        "replicationValidation": draw(st.booleans()),
        "slotPlugin": draw(st.sampled_from(["test_decoding", "pgoutput"])),
        "tables": draw(
            st.lists(st.from_regex(r"[a-z_]{1,9}\.[a-z_][a-z0-9_]{0,9}", fullmatch=True), min_size=1, unique=True)
        ),
        "cpuArchitecture": draw(st.sampled_from(["X86_64", "ARM64"])),
        "imageTag": draw(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", fullmatch=True)),
        "operatorImageTag": draw(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", fullmatch=True)),
        "runbookUrl": draw(st.none() | st.from_regex(r"https://[a-z]{1,9}\.acme/[a-z]{0,9}", fullmatch=True)),
        "logRetentionDays": draw(st.sampled_from([1, 30, 731])),
        "deregistrationDelaySeconds": draw(st.integers(0, 25)),
    }


@given(valid_settings())
def test_allowed_settings_are_taken_as_they_are(values: dict[str, Any]) -> None:
    settings = Settings.parse(values)
    assert Settings.parse(settings.model_dump(by_alias=True)) == settings
    for name, value in settings.model_dump(by_alias=True, mode="json").items():
        if name in values and not isinstance(value, dict):
            assert value == values[name]


@given(valid_settings())
def test_names_of_allowed_settings_are_within_aws_s_limits(values: dict[str, Any]) -> None:
    settings = Settings.parse(values)
    suffix = settings.environment_suffix
    for environment in get_args(Environment):
        for kind in get_args(ResourceType):
            assert len(resource_name(kind, environment, suffix)) <= LIMITS[kind]
        for contract in CONTRACTS:
            assert len(stack_name(contract.tier, environment, suffix)) <= STACK_LIMIT
            for field in contract.field_names():
                path = contract.path(suffix, environment, field)
                assert path.startswith(parameter_prefix(suffix))
                assert len(path) <= PARAMETER_LIMIT
        assert all(0 < len(value) <= TAG_LIMIT for value in tags(settings, environment).values())
    assert len(settings.record_name) <= 253


def changed(values: Mapping[str, Any], path: str, value: object) -> dict[str, Any]:
    head, _, tail = path.partition(".")
    return dict(values) | {head: changed(values[head], tail, value) if tail else value}


TEXT = st.text(max_size=12)
# Values that a setting does not take, whatever the others are.
WRONG: Mapping[str, st.SearchStrategy[Any]] = {
    "environmentSuffix": st.from_regex(r"[A-Z0-9_-][a-z0-9]*|[a-z]{12,}|[a-z]?", fullmatch=True),
    "account": st.from_regex(r"[0-9]{0,11}|[0-9]{13}|[a-z]{12}", fullmatch=True),
    "region": st.sampled_from(["", "us-east", "US-EAST-1", "us-east-1a", "moon"]),
    "replicaRegion": st.sampled_from(["", "west", "us-west-2b"]),
    "costCenter": st.sampled_from(["", "x" * 65, "a&b", "kosten\n"]),
    "migrationPhase": TEXT.filter(lambda one: one not in {"prepare", "replicate", "shift", "cutover", "complete"}),
    "domain": st.sampled_from(
        ["", "acme", "Acme.test", "acme.test.", "pay.example.com", "a b.test", f"{'a' * 200}.test"]
    ),
    "hostedZoneId": st.sampled_from(["", "hostedzone/Z1", "z123", "Z" * 33]),
    "certificateArn": TEXT,
    "recordLabel": st.sampled_from(["", "-pay", "pay-", "Pay", "a.b", "x" * 64]),
    "recordTtlSeconds": st.integers(max_value=0) | st.integers(min_value=61),
    "availabilityZones": st.sampled_from(
        [[], ["us-east-1a"], ["us-east-1a"] * 2, ["a", "b"], ["us-east-1", "us-east-1b"]]
    ),
    "source.cidr": st.sampled_from(["", "10.0.0.0/8", "10.0.0.0/28", "10.0.0.1/16", "fd00::/16", "10.0.0.0"]),
    "target.cidr": st.sampled_from(["", "10.0.0.0/15", "300.0.0.0/16"]),
    "source.natGateways": st.integers(max_value=0) | st.integers(min_value=4),
    "source.multiAz": st.sampled_from(["perhaps", 7]),
    "target.desiredCount": st.integers(max_value=0) | st.integers(min_value=101),
    "databaseInstanceClass": st.sampled_from(["", "db.r5.large", "large", "R5.large"]),
    "databaseStorageGib": st.integers(max_value=19) | st.integers(min_value=65537),
    "databaseEngineVersion": st.sampled_from(["", "17", "17.6.1", "latest"]),
    "databaseBackupDays": st.integers(max_value=0) | st.integers(min_value=36),
    "databaseMaxConnections": st.integers(max_value=99) | st.integers(min_value=5001),
    "databaseSslMode": st.sampled_from(["disable", "prefer", "allow", "", "VERIFY-FULL"]),
    "replicationInstanceClass": st.sampled_from(["", "r5.large", "dms.large"]),
    "replicationStorageGib": st.integers(max_value=19) | st.integers(min_value=6145),
    "replicationEngineVersion": st.sampled_from(["", "3", "3.6", "three"]),
    "replicationMultiAz": st.sampled_from(["perhaps", 7]),
    "replicationValidation": st.sampled_from(["perhaps", 7]),
    "replicationRoles": st.sampled_from(["perhaps", 7]),
    "replicationCertificateArn": TEXT,
    "slotPlugin": st.sampled_from(["", "wal2json", "pglogical"]),
    "tables": st.sampled_from([[], ["payments"], ["public.%"], ["public.a", "public.a"], ["Public.Payments"]]),
    "cpuArchitecture": st.sampled_from(["", "arm64", "RISCV"]),
    "alarmMail": st.sampled_from(["", "nobody", "a@b", "a b@c.d"]),
    "runbookUrl": st.sampled_from(["", "http://acme.test/runbook", "https://acme.test/#top", "docs/runbook.md"]),
    "imageTag": st.sampled_from(["", ".first", "a b", "x" * 129]),
    "operatorImageTag": st.sampled_from(["", ".first", "a b", "x" * 129]),
    "logRetentionDays": st.integers(max_value=0) | st.sampled_from([2, 31, 100000]),
    "deregistrationDelaySeconds": st.integers(max_value=-1) | st.integers(min_value=26),
}


def test_every_setting_has_wrong_values() -> None:
    known = Settings.model_json_schema(by_alias=True)["properties"].keys()
    assert {path.partition(".")[0] for path in WRONG} == set(known)


@pytest.mark.parametrize("path", WRONG)
@hypothesis.settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_wrong_setting_is_refused_by_its_name(path: str, data: st.DataObject) -> None:
    values = data.draw(valid_settings())
    wrong = data.draw(WRONG[path])
    with pytest.raises(SettingsError, match=path.rpartition(".")[2]) as caught:
        Settings.parse(changed(values, path, wrong))
    assert "\n" not in str(caught.value).replace("kosten\n", "")


@given(valid_settings(), st.from_regex(r"[a-z]{3,9}[A-Z][a-z]{2,5}", fullmatch=True))
def test_a_setting_that_does_not_exist_is_refused_by_its_name(values: dict[str, Any], name: str) -> None:
    with pytest.raises(SettingsError, match=rf"settings\.{name}: no such setting"):
        Settings.parse(values | {name: "anything"})


@given(valid_settings())
def test_networks_that_overlap_are_refused(values: dict[str, Any]) -> None:
    same = changed(values, "target.cidr", values["source"]["cidr"])
    with pytest.raises(SettingsError, match=r"source\.cidr .* and target\.cidr .* overlap"):
        Settings.parse(same)
    with pytest.raises(SettingsError, match=r"replicaRegion .* must differ from region"):
        Settings.parse(values | {"replicaRegion": values["region"]})
