import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from pm_traffic import PaymentCertificate, PaymentCertificateProps

EXISTING = "arn:aws:acm:us-east-1:111122223333:certificate/00000000-0000-0000-0000-000000000003"


def made(existing: str | None) -> tuple[PaymentCertificate, Template]:
    stack = cdk.Stack(cdk.App(), "Certificate", env=cdk.Environment(region="us-east-1"))
    props = PaymentCertificateProps(
        name="certificate-source-dev1",
        record_name="pay.payments.acme.test",
        zone_name="payments.acme.test",
        hosted_zone_id="Z123",
        certificate_arn=existing,
    )
    return PaymentCertificate(stack, "Certificate", props=props), Template.from_stack(stack)


def test_certificate_is_of_the_service_s_name_and_validated_in_its_zone() -> None:
    _, template = made(None)
    template.has_resource_properties(
        "AWS::CertificateManager::Certificate",
        {
            "DomainName": "pay.payments.acme.test",
            "DomainValidationOptions": [{"DomainName": "pay.payments.acme.test", "HostedZoneId": "Z123"}],
            "ValidationMethod": "DNS",
        },
    )


def test_an_existing_certificate_is_used_and_none_requested() -> None:
    certificate, template = made(EXISTING)
    template.resource_count_is("AWS::CertificateManager::Certificate", 0)
    assert certificate.contract.certificate_arn == EXISTING


@pytest.mark.parametrize("existing", [None, EXISTING])
def test_the_certificate_is_published(existing: str | None) -> None:
    assert made(existing)[0].contract.certificate_arn
