"""The payment services as AWS sees them: tasks, healthy targets, requests and errors at the load balancer."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pm_core.contracts import ComputeContract
from pm_cutover.aws.session import AwsSession

_LONGEST = timedelta(minutes=1440)  # GetMetricStatistics answers with at most 1,440 points


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceHealth:
    """One environment's service.

    Attributes:
        running: ECS tasks that run.
        desired: ECS tasks that should.
        healthy: Healthy targets at the load balancer.
        unhealthy: Targets that are there and not healthy.
    """

    running: int
    desired: int
    healthy: int
    unhealthy: int

    @property
    def good(self) -> bool:
        """Whether it can take traffic: a task is wanted, as many run, and a target is healthy."""
        return self.desired > 0 and self.running >= self.desired and self.healthy > 0

    def __str__(self) -> str:
        return f"{self.running} of {self.desired} tasks run, {self.healthy} targets healthy, {self.unhealthy} not"


class Service:
    """Asks ECS, the load balancer and CloudWatch about one environment's service."""

    def __init__(self, *, aws: AwsSession, compute: ComputeContract) -> None:
        self._ecs = aws.client("ecs")
        self._elb = aws.client("elbv2")
        self._cloudwatch = aws.client("cloudwatch")
        self._compute = compute

    def health(self) -> ServiceHealth:
        """How it is now; a service that does not exist counts as none wanted."""
        page = self._ecs.describe_services(cluster=self._compute.cluster_name, services=[self._compute.service_name])
        service: dict[str, Any] = next(iter(page["services"]), {})
        targets = self._elb.describe_target_health(TargetGroupArn=self._compute.target_group_arn)
        states = [target["TargetHealth"]["State"] for target in targets["TargetHealthDescriptions"]]
        return ServiceHealth(
            running=int(service.get("runningCount") or 0),
            desired=int(service.get("desiredCount") or 0),
            healthy=states.count("healthy"),
            unhealthy=sum(state not in {"healthy", "draining", "unused"} for state in states),
        )

    def requests(self, *, since: datetime) -> float:
        """Requests that the load balancer took since then; counted in whole minutes."""
        return self._sum("RequestCount", since)

    def served(self, *, since: datetime) -> float:
        """Requests since then that were not turned away with a 4xx status; counted in whole minutes.

        Whoever scans the internet asks for what is not there, and is not a client.
        """
        served = ("HTTPCode_Target_2XX_Count", "HTTPCode_Target_3XX_Count")
        return sum(self._sum(metric, since) for metric in served) + self.server_errors(since=since)

    def server_errors(self, *, since: datetime) -> float:
        """Answers with a 5xx status since then, the service's and the load balancer's own."""
        return self._sum("HTTPCode_Target_5XX_Count", since) + self._sum("HTTPCode_ELB_5XX_Count", since)

    def _sum(self, metric: str, since: datetime) -> float:
        start, end = since.astimezone(UTC).replace(second=0, microsecond=0), datetime.now(UTC) + timedelta(minutes=1)
        total = 0.0
        while start < end:
            page = self._cloudwatch.get_metric_statistics(
                Namespace="AWS/ApplicationELB",
                MetricName=metric,
                Dimensions=[{"Name": "LoadBalancer", "Value": self._compute.load_balancer_full_name}],
                StartTime=start,
                EndTime=min(start + _LONGEST, end),
                Period=60,
                Statistics=["Sum"],
            )
            total += float(sum(point["Sum"] for point in page["Datapoints"]))
            start += _LONGEST
        return total
