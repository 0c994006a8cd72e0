"""What is measured, by which CloudWatch metric and which dimensions."""

from collections.abc import Mapping
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

_PERIOD = cdk.Duration.minutes(1)
# Source: Route 53 developer guide, "Monitoring health checks using CloudWatch".
_HEALTH_CHECKS = "us-east-1"
_DAY = cdk.Duration.days(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoredDatabase:
    """An RDS instance.

    Attributes:
        instance_id: Its identifier.
        rotations: The function that rotates each user's password, by the user's name.

    Source: Amazon RDS user guide, "Amazon CloudWatch metrics for Amazon RDS"; AWS Lambda developer guide, "Types of
    metrics for Lambda functions".
    """

    instance_id: str
    rotations: Mapping[str, str]

    def metric(self, name: str, *, statistic: str = "Average", label: str = "") -> cloudwatch.Metric:
        """A metric of ``AWS/RDS``."""
        return _metric("AWS/RDS", name, {"DBInstanceIdentifier": self.instance_id}, statistic, label)

    def rotation_errors(self, username: str) -> cloudwatch.Metric:
        """How often the rotation of a user's password failed."""
        return _metric("AWS/Lambda", "Errors", {"FunctionName": self.rotations[username]}, "Sum", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoredService:
    """An ECS service behind a load balancer.

    Attributes:
        cluster_name: Name of the cluster.
        service_name: Name of the service.
        load_balancer_full_name: ``app/<name>/<id>``.
        target_group_arn: ARN of its target group.

    Source: "CloudWatch metrics for your Application Load Balancer", "Amazon ECS Container Insights metrics".
    """

    cluster_name: str
    service_name: str
    load_balancer_full_name: str
    target_group_arn: str

    @property
    def target_group_full_name(self) -> str:
        """``targetgroup/<name>/<id>``, the last part of the ARN, which is what the metrics' dimension holds."""
        return cdk.Fn.select(5, cdk.Fn.split(":", self.target_group_arn))

    def ecs(self, name: str, *, label: str = "") -> cloudwatch.Metric:
        """A metric of ``AWS/ECS``: how busy the tasks are."""
        return _metric("AWS/ECS", name, self._ecs_dimensions, "Average", label)

    def insight(self, name: str, *, label: str = "") -> cloudwatch.Metric:
        """A metric of Container Insights: how many tasks there are."""
        return _metric("ECS/ContainerInsights", name, self._ecs_dimensions, "Average", label)

    def load_balancer(self, name: str, *, statistic: str = "Sum", label: str = "") -> cloudwatch.Metric:
        """A metric of the load balancer as a whole."""
        return _metric("AWS/ApplicationELB", name, {"LoadBalancer": self.load_balancer_full_name}, statistic, label)

    def targets(self, name: str, *, statistic: str = "Average", label: str = "") -> cloudwatch.Metric:
        """A metric of the target group behind the load balancer."""
        dimensions = {"LoadBalancer": self.load_balancer_full_name, "TargetGroup": self.target_group_full_name}
        return _metric("AWS/ApplicationELB", name, dimensions, statistic, label)

    @property
    def _ecs_dimensions(self) -> dict[str, str]:
        return {"ClusterName": self.cluster_name, "ServiceName": self.service_name}


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoredReplication:
    """A DMS replication instance and its tasks.

    Attributes:
        instance_identifier: The instance's name.
        task_arns: ARN of each task by its short name, for example ``load``.
        task_identifiers: Name of each task by its short name, as events know it.

    Source: AWS DMS user guide, "Replication task metrics".
    """

    instance_identifier: str
    task_arns: Mapping[str, str]
    task_identifiers: Mapping[str, str]

    def instance(self, name: str, *, statistic: str = "Average", label: str = "") -> cloudwatch.Metric:
        """A metric of the replication instance itself."""
        dimensions = {"ReplicationInstanceIdentifier": self.instance_identifier}
        return _metric("AWS/DMS", name, dimensions, statistic, label)

    def task(self, task: str, name: str, *, statistic: str = "Average", label: str = "") -> cloudwatch.Metric:
        """A metric of one task, told apart by both dimensions: the instance's name, and the last part of the ARN.

        With one dimension alone CloudWatch has no such metric, and an alarm on it would stay silent for ever.
        """
        dimensions = {
            "ReplicationInstanceIdentifier": self.instance_identifier,
            "ReplicationTaskIdentifier": cdk.Fn.select(6, cdk.Fn.split(":", self.task_arns[task])),
        }
        return _metric("AWS/DMS", name, dimensions, statistic, label)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogReplica:
    """A bucket that S3 copies another one to.

    Attributes:
        bucket: Its name.
        region: Where it is.
    """

    bucket: str
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoredLogs:
    """The replication of a bucket by S3.

    Attributes:
        bucket: The bucket that is copied.
        region: Where it is.
        replicas: What each rule copies to, by the rule's id.

    Source: Amazon S3 user guide, "Using S3 Replication metrics", which says in which region each is published.
    """

    bucket: str
    region: str
    replicas: Mapping[str, LogReplica]

    def failed(self, rule: str) -> cloudwatch.Metric:
        """How many copies S3 gave up; in the region of the bucket that is copied."""
        return self._metric(rule, "OperationsFailedReplication", region=self.region, statistic="Sum")

    def waiting(self, rule: str, *, label: str = "") -> cloudwatch.Metric:
        """How many copies have yet to be made; in the replica's region."""
        return self._metric(rule, "OperationsPendingReplication", region=self.replicas[rule].region, label=label)

    def latency(self, rule: str, *, label: str = "") -> cloudwatch.Metric:
        """By how many seconds the replica is behind; in its region."""
        return self._metric(rule, "ReplicationLatency", region=self.replicas[rule].region, label=label)

    def _metric(
        self, rule: str, name: str, *, region: str, statistic: str = "Maximum", label: str = ""
    ) -> cloudwatch.Metric:
        dimensions = {"SourceBucket": self.bucket, "DestinationBucket": self.replicas[rule].bucket, "RuleId": rule}
        return _metric("AWS/S3", name, dimensions, statistic, label, region=region)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoredEndpoint:
    """What Route 53's health checkers see; these metrics are in us-east-1 wherever the endpoint is.

    Attributes:
        health_check_id: The health check.
        region: Where the endpoint is, and those who look at it.
    """

    health_check_id: str
    region: str

    @property
    def rings(self) -> bool:
        """Whether an alarm can ring there: one sees the metrics of its own region only, a dashboard those of all."""
        return self.region == _HEALTH_CHECKS

    def status(self, *, label: str = "") -> cloudwatch.Metric:
        """1 while the endpoint is healthy, else 0."""
        dimensions = {"HealthCheckId": self.health_check_id}
        return _metric("AWS/Route53", "HealthCheckStatus", dimensions, "Minimum", label, region=_HEALTH_CHECKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoredCertificate:
    """A certificate of ACM.

    Attributes:
        certificate_arn: Its ARN.

    Source: AWS Certificate Manager user guide, "Supported CloudWatch metrics": DaysToExpiry, twice a day.
    """

    certificate_arn: str

    def days_to_expiry(self) -> cloudwatch.Metric:
        """How many days it is still valid."""
        dimensions = {"CertificateArn": self.certificate_arn}
        return _metric("AWS/CertificateManager", "DaysToExpiry", dimensions, "Minimum", "", period=_DAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoredEnvironment:
    """What is measured in one environment.

    Attributes:
        database: Its database.
        service: Its service.
        endpoint: What Route 53 checks.
        logs: The replication of its transaction logs.
    """

    database: MonitoredDatabase
    service: MonitoredService
    endpoint: MonitoredEndpoint
    logs: MonitoredLogs


def _metric(
    namespace: str,
    name: str,
    dimensions: dict[str, str],
    statistic: str,
    label: str,
    *,
    period: cdk.Duration = _PERIOD,
    region: str | None = None,
) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map=dimensions,
        statistic=statistic,
        period=period,
        label=label or None,
        region=region,
    )
