"""UnusedCertificate: lets a certificate go with its stack, right after the load balancers that used it."""

from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from pm_core.cdk import ResourceFunction
from pm_traffic.functions import FUNCTIONS

_TIMEOUT_SECONDS = 900


class UnusedCertificate(Construct):
    """Waits, when its stack is deleted, until ACM knows that nobody uses a certificate of ours any more.

    Only then does CloudFormation delete the certificate, which it would otherwise try once, and fail. Never for a
    certificate that was given: that one is not deleted.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        certificate: acm.ICertificate,
        environment: str,
        suffix: str,
        key: kms.IKey,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        provider = ResourceFunction(
            self,
            "Provider",
            environment=environment,
            suffix=suffix,
            qualifier="unused-certificate",
            code=FUNCTIONS,
            module="unused_certificate",
            description="Waits until nobody uses the certificate before it is deleted",
            key=key,
            log_retention_days=log_retention_days,
            timeout_seconds=_TIMEOUT_SECONDS,
            asks_for_stack=True,
        )
        provider.allow(
            iam.PolicyStatement(
                sid="Look", actions=["acm:DescribeCertificate"], resources=[certificate.certificate_arn]
            ),
        )
        # Names the certificate, and so is deleted before it.
        provider.resource(
            self,
            "Resource",
            kind="Custom::UnusedCertificate",
            properties={"CertificateArn": certificate.certificate_arn},
        )
