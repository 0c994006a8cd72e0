"""The function behind QuietCluster: Container Insights stops to write about a cluster whose stack goes."""

from typing import Any

import boto3
from botocore.config import Config

from pm_core.custom_resources import LOG, Outcome, Request, answers, goes

_AWS = Config(connect_timeout=5, read_timeout=30, retries={"max_attempts": 8, "mode": "standard"})
_OFF = {"name": "containerInsights", "value": "disabled"}


def switch_off(ecs: Any, cluster: str) -> bool:
    """Switch Container Insights of a cluster off; False for a cluster that is gone, which writes nothing any more."""
    try:
        ecs.update_cluster_settings(cluster=cluster, settings=[_OFF])
    except ecs.exceptions.ClusterNotFoundException:
        return False
    return True


def work(request: Request) -> Outcome:
    """One request of CloudFormation. Properties: Cluster. Only a Delete with the stack does something."""
    cluster = request.properties["Cluster"]
    if request.kind == "Delete":
        if not goes(boto3.client("cloudformation", config=_AWS), request.stack_id):
            LOG.warning("Container Insights of %s stays as it is: its stack is not being deleted", cluster)
        elif switch_off(boto3.client("ecs", config=_AWS), cluster):
            LOG.info("Container Insights of %s is off", cluster)
        else:
            LOG.info("%s is gone", cluster)
    return Outcome(physical_id=f"quiet:{cluster}")


handle = answers(work)
