import aws_cdk as cdk
from aws_cdk.assertions import Template

from pm_traffic import PaymentCertificate, PaymentCertificateProps


def test_certificate_is_of_the_service_s_name_and_validated_in_its_zone() -> None:
    stack = cdk.Stack(cdk.App(), "Certificate", env=cdk.Environment(region="us-east-1"))
    props = PaymentCertificateProps(
        name="certificate-source-dev1",
        record_name="pay.payments.acme.test",
        zone_name="payments.acme.test",
        hosted_zone_id="Z123",
    )
    certificate = PaymentCertificate(stack, "Certificate", props=props)
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
