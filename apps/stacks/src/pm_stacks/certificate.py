"""The certificate of the payment service's name as a stack."""

import aws_cdk as cdk

from pm_core import CertificateContract, Settings, ZoneContract, resource_name
from pm_stacks.base import TierStack
from pm_traffic import PaymentCertificate, PaymentCertificateProps


class CertificateStack(TierStack):
    """One certificate for both load balancers, published under source.

    Apart from the zone, because ACM waits until somebody has delegated the zone: networks, databases, registries and
    replication deploy meanwhile.
    """

    def __init__(self, *, app: cdk.App, settings: Settings) -> None:
        super().__init__(app=app, tier="certificate", environment="source", settings=settings)
        contract = self._existing() or self._requested()
        self.publish(contract)
        cdk.CfnOutput(
            self,
            "CertificateCommand",
            value=f"aws acm describe-certificate --region {settings.region}"
            f" --certificate-arn {contract.certificate_arn}"
            " --query 'Certificate.[Status,NotAfter,RenewalSummary]'",
            description="Whether the certificate is issued, until when, and how its renewal goes.",
        )

    def _existing(self) -> CertificateContract | None:
        """The settings' certificate, which is used and never deleted; it needs no zone."""
        arn = self.settings.certificate_arn
        return None if arn is None else CertificateContract(certificate_arn=arn)

    def _requested(self) -> CertificateContract:
        return PaymentCertificate(
            self,
            "Certificate",
            props=PaymentCertificateProps(
                environment=self.environment_name,
                suffix=self.settings.environment_suffix,
                name=resource_name("certificate", "source", self.settings.environment_suffix),
                record_name=self.settings.record_name,
                zone_name=self.settings.domain,
                hosted_zone_id=self.read(ZoneContract).hosted_zone_id,
                log_retention_days=self.settings.log_retention_days,
            ),
        ).contract
