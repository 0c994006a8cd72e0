"""KeptWeight: lets the weight of a record change behind CloudFormation's back."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_route53 as route53
from constructs import Construct

from pm_core.cdk import ResourceFunction
from pm_traffic.functions import FUNCTIONS

_TIMEOUT_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptWeightProps:
    """Whose weight.

    Attributes:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        record: A weighted CNAME; afterwards it depends on the custom resource.
        weight_parameter: Path of the SSM parameter with the weight in force.
        key: Encrypts the function's log.
        log_retention_days: Retention of the function's log.
    """

    environment: str
    suffix: str
    record: route53.CfnRecordSet
    weight_parameter: str
    key: kms.IKey
    log_retention_days: int


class KeptWeight(Construct):
    """Deletes a record with its stack and keeps the weight in force, whatever CloudFormation believes it to be.

    One custom resource, made before the record and deleted after it; see functions/weight_keeping.py.

    Source: Route 53 API, ChangeResourceRecordSets: a DELETE must give every value of the record.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: KeptWeightProps) -> None:
        super().__init__(scope, construct_id)
        provider = ResourceFunction(
            self,
            "Provider",
            environment=props.environment,
            suffix=props.suffix,
            qualifier="keep-weight",
            code=FUNCTIONS,
            module="weight_keeping",
            description="Keeps the weight of a record, and deletes the record with its stack",
            key=props.key,
            log_retention_days=props.log_retention_days,
            timeout_seconds=_TIMEOUT_SECONDS,
            asks_for_stack=True,
        )
        provider.allow(*self._permissions(props))
        record = props.record
        resource = provider.resource(
            self,
            "Resource",
            kind="Custom::KeptWeight",
            properties={
                # All that the record is made from: what is missing here could change unnoticed.
                "Record": {
                    "HostedZoneId": record.hosted_zone_id,
                    "Name": record.name,
                    "Type": record.type,
                    "SetIdentifier": record.set_identifier,
                    "Weight": record.weight,
                    "TTL": record.ttl,
                    "ResourceRecords": record.resource_records,
                    "HealthCheckId": record.health_check_id,
                },
                "WeightParameter": props.weight_parameter,
            },
        )
        record.node.add_dependency(resource)

    def _permissions(self, props: KeptWeightProps) -> list[iam.PolicyStatement]:
        stack = cdk.Stack.of(self)
        zone = stack.format_arn(
            service="route53", region="", account="", resource="hostedzone", resource_name=props.record.hosted_zone_id
        )
        parameter = stack.format_arn(
            service="ssm", resource="parameter", resource_name=props.weight_parameter.removeprefix("/")
        )
        return [
            iam.PolicyStatement(sid="ReadRecord", actions=["route53:ListResourceRecordSets"], resources=[zone]),
            iam.PolicyStatement(
                sid="ChangeRecord",
                actions=["route53:ChangeResourceRecordSets"],
                resources=[zone],
                # Source: Route 53 developer guide, "Using IAM policy conditions for fine-grained access control".
                conditions={
                    "ForAllValues:StringEquals": {
                        "route53:ChangeResourceRecordSetsNormalizedRecordNames": [props.record.name.removesuffix(".")],
                        "route53:ChangeResourceRecordSetsRecordTypes": [props.record.type],
                        "route53:ChangeResourceRecordSetsActions": ["DELETE", "UPSERT"],
                    }
                },
            ),
            iam.PolicyStatement(sid="ReadWeight", actions=["ssm:GetParameter"], resources=[parameter]),
        ]
