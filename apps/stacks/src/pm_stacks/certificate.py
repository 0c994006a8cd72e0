"""The certificate of the payment service's name as a stack."""

import aws_cdk as cdk

from pm_core import Settings, ZoneContract, resource_name
from pm_stacks.base import TierStack
from pm_traffic import PaymentCertificate, PaymentCertificateProps


class CertificateStack(TierStack):
    """One certificate for both load balancers, published under source.

    Apart from the zone, because ACM waits until somebody has delegated the zone: networks, databases, registries and
    replication deploy meanwhile.
    """

    def __init__(self, *, app: cdk.App, settings: Settings) -> None:
        super().__init__(app=app, tier="certificate", environment="source", settings=settings)
        zone = self.read(ZoneContract)
        certificate = PaymentCertificate(
            self,
            "Certificate",
            props=PaymentCertificateProps(
                name=resource_name("certificate", "source", settings.environment_suffix),
                record_name=settings.record_name,
                zone_name=settings.domain,
                hosted_zone_id=zone.hosted_zone_id,
                certificate_arn=settings.certificate_arn,
            ),
        )
        self.publish(certificate.contract)
        cdk.CfnOutput(
            self,
            "CertificateCommand",
            value=f"aws acm describe-certificate --certificate-arn {certificate.contract.certificate_arn}"
            " --query Certificate.[Status,NotAfter,RenewalSummary]",
            description="Whether the certificate is issued, until when, and how its renewal goes.",
        )
