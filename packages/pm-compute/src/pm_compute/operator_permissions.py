"""What the engine calls, and so what a task that runs `pm` may do: no action more, and no resource but the named ones.

A test compares the actions with the calls in pm_cutover.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import IConstruct

from pm_core import ZoneContract, parameter_prefix
from pm_core.cdk import acknowledge_wildcard

EVIDENCE_PREFIX = "evidence/"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatedEnvironment:
    """One environment, as far as the engine touches it.

    Attributes:
        secret_arn: Secret of the user ``pm_cutover``.
        key_arn: KMS key that encrypts the secret.
        cluster_name: Cluster of the payment service.
        service_name: The payment service.
    """

    secret_arn: str
    key_arn: str
    cluster_name: str
    service_name: str

    @property
    def service(self) -> str:
        """The payment service as the last part of its ARN."""
        return f"{self.cluster_name}/{self.service_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatedReplication:
    """What the engine starts, stops and tests.

    Attributes:
        instance_arn: The replication instance.
        task_arns: Its tasks.
        endpoint_arns: Their endpoints.
    """

    instance_arn: str
    task_arns: Sequence[str]
    endpoint_arns: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatedTraffic:
    """What the engine shifts.

    Attributes:
        hosted_zone_id: The zone.
        record_name: The payment service's name, of both weighted records.
        source_health_check_id: Switched off while `pm finish` watches the source.
    """

    hosted_zone_id: str
    record_name: str
    source_health_check_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatedDeployment:
    """Everything of one deployment that the engine touches.

    Attributes:
        suffix: The deployment's environmentSuffix.
        replica_region: Where the stacks of the audit replicas are.
        source: Where payments come from.
        target: Where they move to.
        evidence_bucket: The target's transaction log bucket; objects in it are encrypted with the target's key.
        replication: DMS.
        traffic: Route 53.
    """

    suffix: str
    replica_region: str
    source: OperatedEnvironment
    target: OperatedEnvironment
    evidence_bucket: str
    replication: OperatedReplication
    traffic: OperatedTraffic


def statements(scope: IConstruct, deployment: OperatedDeployment) -> list[iam.PolicyStatement]:
    """The permissions of a task that runs `pm`, as statements of one policy.

    Args:
        scope: A construct of the stack, whose account and region are meant.
        deployment: What the engine works on.

    Source: service authorization reference of each service.
    """
    return [
        *_reads(scope, deployment),
        *_databases(deployment),
        *_replication(deployment.replication),
        *_traffic(scope, deployment),
        *_evidence(scope, deployment),
    ]


def acknowledge_wildcards(policy: IConstruct, deployment: OperatedDeployment) -> None:
    """Note for auditors why statements of ``policy`` end in a wildcard, one by one."""
    parameters, stacks, audit_stacks, changes, objects = _wildcards(policy, deployment)
    for arn, reason in (
        ("*", "Actions that only read and take no resource, and composite alarms, which are described by `*` alone."),
        (parameters, "What the deployment's stacks publish below its own path, all of which the engine reads."),
        (stacks, "An ARN of a stack ends in an id that CloudFormation chooses; the name carries the suffix."),
        (audit_stacks, "The same of the stacks that hold the audit replicas, in the other region."),
        (changes, "Whether a change is served everywhere; Route 53 chooses the id when the change is made."),
        (objects, "One new object for each run, whose key holds its time; nothing is read or deleted."),
    ):
        acknowledge_wildcard(policy, arn, reason)


def _wildcards(scope: IConstruct, deployment: OperatedDeployment) -> tuple[str, str, str, str, str]:
    stack, bucket = cdk.Stack.of(scope), deployment.evidence_bucket
    path = parameter_prefix(deployment.suffix).strip("/")
    return (
        stack.format_arn(service="ssm", resource="parameter", resource_name=f"{path}/*"),
        stack.format_arn(service="cloudformation", resource="stack", resource_name=f"pm-*-{deployment.suffix}/*"),
        stack.format_arn(
            service="cloudformation",
            region=deployment.replica_region,
            resource="stack",
            resource_name=f"pm-audit-*-{deployment.suffix}/*",
        ),
        stack.format_arn(service="route53", region="", account="", resource="change", resource_name="*"),
        stack.format_arn(service="s3", region="", account="", resource=bucket, resource_name=f"{EVIDENCE_PREFIX}*"),
    )


def _reads(scope: IConstruct, deployment: OperatedDeployment) -> list[iam.PolicyStatement]:
    stack = cdk.Stack.of(scope)
    parameters, stacks, audit_stacks, changes, _ = _wildcards(scope, deployment)
    return [
        iam.PolicyStatement(
            sid="ReadParameters",
            actions=["ssm:GetParametersByPath"],
            # SSM asks for the path itself, without its last slash.
            resources=[parameters.removesuffix("/*"), parameters],
        ),
        iam.PolicyStatement(
            sid="LookAtServices",
            actions=["ecs:DescribeServices"],
            resources=[
                stack.format_arn(service="ecs", resource="service", resource_name=name)
                for name in (deployment.source.service, deployment.target.service)
            ],
        ),
        iam.PolicyStatement(
            sid="LookAtStacks", actions=["cloudformation:DescribeStacks"], resources=[stacks, audit_stacks]
        ),
        iam.PolicyStatement(sid="LookAtChanges", actions=["route53:GetChange"], resources=[changes]),
        iam.PolicyStatement(
            sid="Look",
            actions=[
                "cloudformation:ListStacks",
                "cloudwatch:DescribeAlarms",  # composite ones too: "scoped to `*`", says its API reference
                "cloudwatch:GetMetricStatistics",
                "dms:DescribeConnections",
                "dms:DescribeReplicationInstances",
                "dms:DescribeReplicationTasks",
                "elasticloadbalancing:DescribeTargetHealth",
            ],
            resources=["*"],
        ),
    ]


def _databases(deployment: OperatedDeployment) -> list[iam.PolicyStatement]:
    both = (deployment.source, deployment.target)
    return [
        iam.PolicyStatement(
            sid="ReadSecrets",
            actions=["secretsmanager:GetSecretValue"],
            resources=[one.secret_arn for one in both],
        ),
        iam.PolicyStatement(
            sid="DecryptSecrets",
            actions=["kms:Decrypt"],
            resources=[one.key_arn for one in both],
        ),
    ]


def _replication(replication: OperatedReplication) -> list[iam.PolicyStatement]:
    return [
        iam.PolicyStatement(
            sid="RunReplication",
            actions=[
                "dms:DescribeTableStatistics",
                "dms:RemoveTagsFromResource",
                "dms:StartReplicationTask",
                "dms:StopReplicationTask",
            ],
            resources=list(replication.task_arns),
        ),
        iam.PolicyStatement(
            sid="TestEndpoints",
            actions=["dms:TestConnection"],
            resources=[replication.instance_arn, *replication.endpoint_arns],
        ),
    ]


def _traffic(scope: IConstruct, deployment: OperatedDeployment) -> list[iam.PolicyStatement]:
    stack, traffic = cdk.Stack.of(scope), deployment.traffic

    def route53(resource: str, name: str) -> str:
        return stack.format_arn(service="route53", region="", account="", resource=resource, resource_name=name)

    weights = [
        stack.format_arn(
            service="ssm",
            resource="parameter",
            resource_name=ZoneContract.path(deployment.suffix, "source", field).removeprefix("/"),
        )
        for field in ("weight_source", "weight_target")
    ]
    zone = route53("hostedzone", traffic.hosted_zone_id)
    return [
        iam.PolicyStatement(sid="KeepWeights", actions=["ssm:GetParameters", "ssm:PutParameter"], resources=weights),
        iam.PolicyStatement(sid="ReadRecords", actions=["route53:ListResourceRecordSets"], resources=[zone]),
        iam.PolicyStatement(
            sid="ShiftWeights",
            actions=["route53:ChangeResourceRecordSets"],
            resources=[zone],
            # Source: Route 53 developer guide, "Using IAM policy conditions for fine-grained access control".
            conditions={
                "ForAllValues:StringEquals": {
                    "route53:ChangeResourceRecordSetsNormalizedRecordNames": [traffic.record_name],
                    "route53:ChangeResourceRecordSetsRecordTypes": ["CNAME"],
                    "route53:ChangeResourceRecordSetsActions": ["UPSERT"],
                }
            },
        ),
        iam.PolicyStatement(
            sid="PauseHealthCheck",
            actions=["route53:UpdateHealthCheck"],
            resources=[route53("healthcheck", traffic.source_health_check_id)],
        ),
    ]


def _evidence(scope: IConstruct, deployment: OperatedDeployment) -> list[iam.PolicyStatement]:
    *_, objects = _wildcards(scope, deployment)
    return [
        iam.PolicyStatement(sid="KeepEvidence", actions=["s3:PutObject"], resources=[objects]),
        iam.PolicyStatement(
            sid="EncryptEvidence", actions=["kms:GenerateDataKey"], resources=[deployment.target.key_arn]
        ),
    ]
