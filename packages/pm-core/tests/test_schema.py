"""CloudFormation's schema as the installed CDK carries it, and what the aspects conclude from it."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import aws_cdk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pm_core.cdk.rules import concerns_rest, unencrypted_at_rest
from pm_core.cdk.rules.at_rest import _STORES_NOTHING, _TABLE, _encrypts
from pm_core.cdk.rules.properties import Properties
from pm_core.cdk.rules.schema import Property, properties_of, structure_properties

# Read as text: importing every service's module takes half a minute.
_CLASS = re.compile(r'jsii_type="aws-cdk-lib\.aws_\w+\.Cfn\w+",\n\):\n.*?:cloudformationResource: (AWS::\S+)', re.S)
# Types that take nothing.
WITHOUT_PROPERTIES = {
    "AWS::ApplicationSignals::Discovery",
    "AWS::DevOpsGuru::LogAnomalyDetectionIntegration",
    "AWS::Route53::DelegationSet",
}


@dataclass(frozen=True, kw_only=True)
class Written:
    """A resource with the given properties."""

    kind: str
    properties: Properties
    logical_id: str = "Foreign"
    exemptions: frozenset[str] = frozenset()


@cache
def every_type() -> tuple[str, ...]:
    """Every type of the installed aws-cdk-lib."""
    found: set[str] = set()
    for file in Path(aws_cdk.__file__).parent.glob("aws_*/__init__.py"):
        found |= set(_CLASS.findall(file.read_text()))
    return tuple(sorted(kind for kind in found if not kind.startswith("AWS::CloudFormation::")))


@cache
def encrypting(kind: str) -> tuple[Property, ...]:
    return tuple(prop for prop in properties_of(kind).values() if _encrypts(prop))


def test_the_installed_cdk_has_types() -> None:
    assert len(every_type()) > 1000


def test_properties_are_named_as_in_templates() -> None:
    found = properties_of("AWS::RDS::DBInstance")
    assert found["storageencrypted"].name == "StorageEncrypted"
    assert found["storageencrypted"].is_switch
    assert not found["kmskeyid"].is_switch
    assert found["kmskeyid"].structures == ()


def test_structures_are_followed() -> None:
    kind = "AWS::EC2::LaunchTemplate"
    (data,) = properties_of(kind)["launchtemplatedata"].structures
    (device,) = structure_properties(kind, data)["blockdevicemappings"].structures
    (ebs,) = structure_properties(kind, device)["ebs"].structures
    assert structure_properties(kind, ebs)["encrypted"].is_switch


def test_services_with_another_module_name_are_found() -> None:
    assert "ssespecification" in properties_of("AWS::Serverless::SimpleTable")


def test_unknown_types_have_no_properties() -> None:
    for kind in ("AWS::Unheard::Of", "AWS::S3::Nothing", "Custom::EmptiedBucket", "Acme::Own::Type", "AWS::S3"):
        assert properties_of(kind) == {}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_every_type_of_the_cdk_is_found_under_its_name(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(every_type()))
    assert properties_of(kind) or kind in WITHOUT_PROPERTIES


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_can_be_encrypted_must_be(data: st.DataObject) -> None:
    """Of any type with a property that encrypts: nothing set is refused and names one, everything set passes."""
    kind = data.draw(st.sampled_from(every_type()).filter(encrypting))
    if kind in _TABLE or kind in _STORES_NOTHING:
        return
    assert concerns_rest(kind)
    problem = unencrypted_at_rest(Written(kind=kind, properties={}))
    assert problem is not None
    assert any(prop.name in problem for prop in encrypting(kind))
    value = {True: True, False: "arn:aws:kms:us-east-1:123456789012:key/k"}
    complete = {name: value[prop.is_switch] for name, prop in properties_of(kind).items() if _encrypts(prop)}
    assert unencrypted_at_rest(Written(kind=kind, properties=complete)) is None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_switch_that_is_off_is_refused_whatever_else_is_set(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(every_type()).filter(lambda one: any(prop.is_switch for prop in encrypting(one))))
    if kind in _TABLE or kind in _STORES_NOTHING:
        return
    switches = [prop for prop in encrypting(kind) if prop.is_switch]
    off = data.draw(st.sampled_from(switches))
    properties = {prop.words.replace("_", ""): True if prop.is_switch else "key" for prop in encrypting(kind)}
    properties[off.words.replace("_", "")] = data.draw(st.sampled_from([False, "false", "False", None]))
    problem = unencrypted_at_rest(Written(kind=kind, properties=properties))
    assert problem is not None
    assert off.name in problem


def test_exceptions_are_types_that_exist_and_would_be_refused() -> None:
    """An exception that is needed no more, or for a type that is gone, is taken out."""
    for kind, reason in _STORES_NOTHING.items():
        assert encrypting(kind), kind
        assert reason
    for kind in _TABLE:
        assert properties_of(kind), kind
