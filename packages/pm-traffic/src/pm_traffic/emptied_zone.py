"""EmptiedZone: lets a hosted zone go with its stack, whoever left records in it."""

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_route53 as route53
from constructs import Construct

from pm_core.cdk import ResourceFunction
from pm_traffic.functions import FUNCTIONS

_TIMEOUT_SECONDS = 300


class EmptiedZone(Construct):
    """Removes every record of a zone of ours when its stack is deleted, and at no other time.

    A zone that is taken out of the template or replaced, say by an imported one, may still answer clients: it keeps its
    records, so that Route 53 refuses to delete it.

    ACM leaves the records behind with which a certificate was validated (aws-cdk #7063), and a person may have added
    some; Route 53 refuses to delete a zone that holds any. Never for an imported zone: that one is not ours.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        zone: route53.IHostedZone,
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
            qualifier="empty-zone",
            code=FUNCTIONS,
            module="zone_emptying",
            description="Empties the hosted zone before it is deleted",
            key=key,
            log_retention_days=log_retention_days,
            timeout_seconds=_TIMEOUT_SECONDS,
            asks_for_stack=True,
        )
        provider.allow(
            iam.PolicyStatement(
                sid="Empty",
                actions=[
                    "route53:ChangeResourceRecordSets",
                    "route53:GetHostedZone",
                    "route53:ListResourceRecordSets",
                ],
                resources=[zone.hosted_zone_arn],
            ),
        )
        self.resource = provider.resource(
            self,
            "Resource",
            kind="Custom::EmptiedZone",
            properties={"HostedZoneId": zone.hosted_zone_id},
        )
