"""ReplicationStatus: an HTTPS endpoint that says how the migration goes."""

from collections.abc import Mapping
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from pm_core.cdk import CustomerKey, ResourceFunction
from pm_observability.functions import FUNCTIONS

_TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicationStatusProps:
    """What the endpoint tells about.

    Attributes:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        task_arns: ARN of each replication task by its short name.
        instance_identifier: The replication instance's name.
        hosted_zone_id: The zone of the weighted records.
        record_name: Their name.
        log_retention_days: Retention of the function's log.
    """

    environment: str
    suffix: str
    task_arns: Mapping[str, str]
    instance_identifier: str
    hosted_zone_id: str
    record_name: str
    log_retention_days: int


class ReplicationStatus(Construct):
    """A function with a URL that only callers with IAM's permission can use; it reads, and changes nothing.

    Attributes:
        url: ``https://<id>.lambda-url.<region>.on.aws/``.

    Source: AWS::Lambda::Url, AWS Lambda developer guide, "Control access to Lambda function URLs".
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: ReplicationStatusProps) -> None:
        super().__init__(scope, construct_id)
        stack = cdk.Stack.of(self)
        function = ResourceFunction(
            self,
            "Provider",
            environment=props.environment,
            suffix=props.suffix,
            qualifier="migration-status",
            code=FUNCTIONS,
            module="status",
            description="Says how the migration goes",
            key=CustomerKey(
                self,
                "Key",
                environment=props.environment,
                suffix=props.suffix,
                qualifier="migration-status",
                description="Settings and log of the status endpoint",
            ),
            variables={
                "PM_STATUS": stack.to_json_string(
                    {
                        "tasks": dict(props.task_arns),
                        "instance": props.instance_identifier,
                        "zone": props.hosted_zone_id,
                        "record": props.record_name,
                    }
                )
            },
            log_retention_days=props.log_retention_days,
            timeout_seconds=_TIMEOUT_SECONDS,
        )
        zone = stack.format_arn(
            service="route53", region="", account="", resource="hostedzone", resource_name=props.hosted_zone_id
        )
        function.allow(
            iam.PolicyStatement(
                sid="Tables", actions=["dms:DescribeTableStatistics"], resources=list(props.task_arns.values())
            ),
            iam.PolicyStatement(sid="Weights", actions=["route53:ListResourceRecordSets"], resources=[zone]),
            iam.PolicyStatement(
                sid="Look",
                actions=["cloudwatch:GetMetricStatistics", "dms:DescribeReplicationTasks"],
                resources=["*"],
            ),
        )
        function.acknowledge_wildcard(
            "cloudwatch:GetMetricStatistics and dms:DescribeReplicationTasks take no resource; both only read."
        )
        self.url = function.function.add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM).url
