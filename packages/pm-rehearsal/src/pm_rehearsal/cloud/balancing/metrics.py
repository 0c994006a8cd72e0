"""What balancers counted, as CloudWatch metrics of the namespace AWS/ApplicationELB.

Source: "CloudWatch metrics for your Application Load Balancer". Counts are only published when they are not zero.
One metric is not AWS's: ``RetriedRequestCount`` in PM/EmbeddedAWS, requests that AWS would have answered with 502.
"""

import time
from collections.abc import Mapping
from typing import Any

from pm_rehearsal.cloud.balancer.counters import Counters
from pm_rehearsal.cloud.settings import OWN_NAMESPACE

NAMESPACE = "AWS/ApplicationELB"


def publish_counters(cloudwatch: Any, load_balancer: str, report: Mapping[str, Any]) -> None:
    """Store one report of a balancer; the caller has pinned the load balancer's account and region.

    Args:
        cloudwatch: MiniStack's module.
        load_balancer: Full name, ``app/name/id``.
        report: A report of type ``counters``.
    """
    now = time.time()
    for group, counted in report["groups"].items():
        counters = Counters.from_report(counted)
        for dimensions in ({"LoadBalancer": load_balancer}, _both(load_balancer, group)):
            for name, value in (
                ("RequestCount", counters.requests),
                ("HTTPCode_Target_2XX_Count", counters.target_2xx),
                ("HTTPCode_Target_3XX_Count", counters.target_3xx),
                ("HTTPCode_Target_4XX_Count", counters.target_4xx),
                ("HTTPCode_Target_5XX_Count", counters.target_5xx),
                ("TargetConnectionErrorCount", counters.connection_errors),
            ):
                if value:
                    _store(cloudwatch, name, dimensions, now, "Count", float(value), None)
            if counters.response_time.count:
                times = counters.response_time
                statistics = {
                    "SampleCount": float(times.count),
                    "Sum": times.total,
                    "Minimum": times.smallest,
                    "Maximum": times.largest,
                }
                _store(cloudwatch, "TargetResponseTime", dimensions, now, "Seconds", None, statistics)
    retries = sum(counted["retries"] for counted in report["groups"].values())
    if retries:
        own = {"LoadBalancer": load_balancer}
        _store(cloudwatch, "RetriedRequestCount", own, now, "Count", float(retries), None, namespace=OWN_NAMESPACE)
    answers: dict[str, int] = {}
    for status, count in report["balancer"].items():
        for name in (f"HTTPCode_ELB_{status[0]}XX_Count", f"HTTPCode_ELB_{status}_Count"):
            answers[name] = answers.get(name, 0) + count
    for name, count in answers.items():
        _store(cloudwatch, name, {"LoadBalancer": load_balancer}, now, "Count", float(count), None)


def publish_hosts(cloudwatch: Any, load_balancer: str, group: str, *, healthy: int, unhealthy: int) -> None:
    """Store how many targets of a group are healthy and unhealthy."""
    now = time.time()
    for name, value in (("HealthyHostCount", healthy), ("UnHealthyHostCount", unhealthy)):
        _store(cloudwatch, name, _both(load_balancer, group), now, "Count", float(value), None)


def full_name(arn: str) -> str:
    """A load balancer's full name, the value of the dimension LoadBalancer: ``app/name/id``."""
    return arn.partition(":loadbalancer/")[2]


def _both(load_balancer: str, group: str) -> dict[str, str]:
    return {"LoadBalancer": load_balancer, "TargetGroup": group.rpartition(":")[2]}


def _store(
    cloudwatch: Any,
    name: str,
    dimensions: Mapping[str, str],
    at: float,
    unit: str,
    value: float | None,
    statistics: Mapping[str, float] | None,
    *,
    namespace: str = NAMESPACE,
) -> None:
    # In process: PutMetricData refuses the AWS namespaces, as on AWS.
    cloudwatch._store_datum(namespace, name, dict(dimensions), at, unit, value, None, None, statistics)
