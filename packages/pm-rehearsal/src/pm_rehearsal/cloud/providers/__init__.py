"""CloudFormation types that MiniStack lacks or half-implements."""

from pm_rehearsal.cloud.extension import Extension
from pm_rehearsal.cloud.providers import (
    alarms,
    bucket_access_logs,
    bucket_policies,
    bucket_replication,
    buckets,
    health_checks,
    network,
    records,
    secrets,
    topics,
)


def install(extension: Extension) -> None:
    """Install every module of this folder."""
    for module in (
        network,
        secrets,
        buckets,
        bucket_policies,
        bucket_replication,
        bucket_access_logs,
        topics,
        alarms,
        health_checks,
        records,
    ):
        module.install(extension)
