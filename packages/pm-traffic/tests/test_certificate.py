import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from pm_traffic import PaymentCertificate, PaymentCertificateProps


@pytest.fixture(scope="module")
def certificate(stack: cdk.Stack) -> PaymentCertificate:
    props = PaymentCertificateProps(
        environment="source",
        suffix="dev1",
        name="certificate-source-dev1",
        record_name="pay.payments.acme.test",
        zone_name="payments.acme.test",
        hosted_zone_id="Z123",
    )
    return PaymentCertificate(stack, "Certificate", props=props)


def test_certificate_is_of_the_service_s_name_and_validated_in_its_zone(
    stack: cdk.Stack, certificate: PaymentCertificate
) -> None:
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::CertificateManager::Certificate",
        {
            "DomainName": "pay.payments.acme.test",
            "DomainValidationOptions": [{"DomainName": "pay.payments.acme.test", "HostedZoneId": "Z123"}],
            "ValidationMethod": "DNS",
        },
    )
    assert "Ref" in stack.resolve(certificate.contract.certificate_arn)


def test_nobody_uses_the_certificate_any_more_when_it_is_deleted(
    stack: cdk.Stack, certificate: PaymentCertificate
) -> None:
    template = Template.from_stack(stack)
    arn = stack.resolve(certificate.contract.certificate_arn)
    # Whatever names the certificate is deleted before it.
    template.has_resource_properties("Custom::UnusedCertificate", {"CertificateArn": arn})
    (policy,) = template.find_resources("AWS::IAM::ManagedPolicy").values()
    allowed = {one["Action"]: one["Resource"] for one in policy["Properties"]["PolicyDocument"]["Statement"][1:]}
    assert allowed == {
        "acm:DescribeCertificate": arn,
        "cloudformation:DescribeStacks": {"Ref": "AWS::StackId"},
    }
