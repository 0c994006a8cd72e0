"""ReplicationStatus: an HTTPS endpoint that says how the migration goes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from pm_core.cdk import PG8000, CustomerKey, Placement, ResourceFunction
from pm_observability.functions import FUNCTIONS
from pm_observability.metrics import MonitoredReplication

_TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedDatabase:
    """A database that is asked for its fence.

    Attributes:
        secret_arn: Secret of a user that may log in and nothing else.
        key_arn: KMS key that encrypts the secret.
    """

    secret_arn: str
    key_arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicationStatusProps:
    """What the endpoint tells about.

    Attributes:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        replication: The tasks.
        hosted_zone_id: The zone of the weighted records.
        record_name: Their name.
        databases: Both databases, by environment.
        ssl_mode: How the function connects to them: disable, require, verify-ca or verify-full.
        subnet_ids: Private subnets, from which both databases and the AWS APIs are reached.
        security_group: Of the functions that work in databases; both databases admit it.
        log_retention_days: Retention of the function's log.
    """

    environment: str
    suffix: str
    replication: MonitoredReplication
    hosted_zone_id: str
    record_name: str
    databases: Mapping[str, AskedDatabase]
    ssl_mode: str
    subnet_ids: Sequence[str]
    security_group: ec2.ISecurityGroup
    log_retention_days: int


class ReplicationStatus(Construct):
    """A function with a URL that only callers with IAM's permission can use; it reads, and changes nothing.

    Who the writer is, it asks the databases themselves, as a user that may read the fence words and nothing else.

    Attributes:
        function: The function; also what a dashboard asks.
        url: ``https://<id>.lambda-url.<region>.on.aws/``.

    Source: AWS::Lambda::Url, AWS Lambda developer guide, "Control access to Lambda function URLs".
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: ReplicationStatusProps) -> None:
        super().__init__(scope, construct_id)
        stack = cdk.Stack.of(self)
        provider = ResourceFunction(
            self,
            "Provider",
            environment=props.environment,
            suffix=props.suffix,
            qualifier="migration-status",
            code=FUNCTIONS,
            module="status",
            vendored=PG8000,
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
                        "tasks": dict(props.replication.task_arns),
                        "instance": props.replication.instance_identifier,
                        "zone": props.hosted_zone_id,
                        "record": props.record_name,
                        "databases": {name: database.secret_arn for name, database in props.databases.items()},
                        "ssl_mode": props.ssl_mode,
                    }
                )
            },
            log_retention_days=props.log_retention_days,
            timeout_seconds=_TIMEOUT_SECONDS,
            placement=Placement(subnet_ids=props.subnet_ids, security_group=props.security_group),
            unnamed="cloudwatch:GetMetricStatistics and dms:DescribeReplicationTasks take no resource; both only read.",
        )
        zone = stack.format_arn(
            service="route53", region="", account="", resource="hostedzone", resource_name=props.hosted_zone_id
        )
        provider.allow(
            iam.PolicyStatement(
                sid="Tables",
                actions=["dms:DescribeTableStatistics"],
                resources=list(props.replication.task_arns.values()),
            ),
            iam.PolicyStatement(sid="Weights", actions=["route53:ListResourceRecordSets"], resources=[zone]),
            iam.PolicyStatement(
                sid="ReadSecrets",
                actions=["secretsmanager:GetSecretValue"],
                resources=[database.secret_arn for database in props.databases.values()],
            ),
            iam.PolicyStatement(
                sid="DecryptSecrets",
                actions=["kms:Decrypt"],
                resources=[database.key_arn for database in props.databases.values()],
            ),
            iam.PolicyStatement(
                sid="Look",
                actions=["cloudwatch:GetMetricStatistics", "dms:DescribeReplicationTasks"],
                resources=["*"],
            ),
        )
        self.function = provider.function
        self.url = provider.function.add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM).url
