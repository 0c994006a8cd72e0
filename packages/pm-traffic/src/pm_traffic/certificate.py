"""PaymentCertificate: what both load balancers prove the payment service's name with."""

from dataclasses import dataclass

from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_route53 as route53
from constructs import Construct

from pm_core import CertificateContract
from pm_core.cdk import CustomerKey
from pm_traffic.unused_certificate import UnusedCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCertificateProps:
    """What a certificate needs to know.

    Attributes:
        environment: The environment whose app owns the certificate.
        suffix: The deployment's environmentSuffix.
        name: For people: its Name tag.
        record_name: The payment service's name.
        zone_name: The zone that the name is in.
        hosted_zone_id: That zone, where ACM's validation record is made.
        log_retention_days: Retention of the log of the function that waits until nobody uses the certificate.
    """

    environment: str
    suffix: str
    name: str
    record_name: str
    zone_name: str
    hosted_zone_id: str
    log_retention_days: int = 30


class PaymentCertificate(Construct):
    """A certificate of ACM, validated in our zone and renewed by ACM as long as its record stays there.

    ACM issues it once the zone is delegated; until then CloudFormation waits, and with it whoever needs it. It is
    deleted with its stack once ACM knows that nobody uses it any more.

    Attributes:
        contract: What the certificate tier publishes.

    Source: AWS::CertificateManager::Certificate.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: PaymentCertificateProps) -> None:
        super().__init__(scope, construct_id)
        zone = route53.PublicHostedZone.from_public_hosted_zone_attributes(
            self, "Zone", hosted_zone_id=props.hosted_zone_id, zone_name=props.zone_name
        )
        certificate = acm.Certificate(
            self,
            "Certificate",
            certificate_name=props.name,
            domain_name=props.record_name,
            validation=acm.CertificateValidation.from_dns(zone),
            key_algorithm=acm.KeyAlgorithm.EC_PRIME256_V1,
        )
        UnusedCertificate(
            self,
            "Unused",
            certificate=certificate,
            environment=props.environment,
            suffix=props.suffix,
            key=CustomerKey(
                self,
                "Key",
                environment=props.environment,
                suffix=props.suffix,
                qualifier="certificate",
                description="Log of the function that waits until nobody uses the certificate",
            ),
            log_retention_days=props.log_retention_days,
        )
        self.contract = CertificateContract(certificate_arn=certificate.certificate_arn)
