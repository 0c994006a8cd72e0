"""The certificate's stack with a certificate of its own, and with one that exists."""

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk.assertions import Template

from pm_core import Settings
from pm_stacks.certificate import CertificateStack

_CONTEXT = json.loads((Path(__file__).parents[3] / "cdk.json").read_text())["context"]
EXISTING = "arn:aws:acm:us-east-1:111122223333:certificate/00000000-0000-0000-0000-000000000003"


def made(**settings: str) -> Template:
    parsed = Settings.parse({"environmentSuffix": "dev1", "domain": "payments.acme.test", **settings})
    return Template.from_stack(CertificateStack(app=cdk.App(context=_CONTEXT), settings=parsed))


def published(template: Template) -> dict[str, Any]:
    found = template.find_resources("AWS::SSM::Parameter").values()
    return {one["Properties"]["Name"]: one["Properties"]["Value"] for one in found}


def test_a_requested_certificate_is_published() -> None:
    template = made()
    template.resource_count_is("AWS::CertificateManager::Certificate", 1)
    template.resource_count_is("Custom::UnusedCertificate", 1)
    assert "Ref" in published(template)["/pm/dev1/source/certificate/certificate-arn"]


def test_an_existing_certificate_is_used_and_neither_requested_nor_validated() -> None:
    template = made(certificateArn=EXISTING)
    template.resource_count_is("AWS::CertificateManager::Certificate", 0)
    template.resource_count_is("Custom::UnusedCertificate", 0)
    assert published(template)["/pm/dev1/source/certificate/certificate-arn"] == EXISTING
    assert not any("hostedzone" in name for name in template.to_json().get("Parameters", {}))
