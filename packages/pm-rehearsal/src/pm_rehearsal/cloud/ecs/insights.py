"""Container Insights writes late: performance events of a cluster that is gone, into a log group that it makes anew."""

import contextlib
import json
import time
from collections.abc import Mapping
from typing import Any

from pm_rehearsal.cloud.extension import Extension

FLUSH_SECONDS = 3.0
"""From a cluster's end to its last events; about a minute on AWS."""


class Insights:
    """Flushes for clusters that are deleted with Container Insights on; of a living cluster it writes nothing."""

    def __init__(self, extension: Extension) -> None:
        self._extension = extension
        self._resets = 0
        extension.on_reset(self._reset)

    def deleted(self, cluster: Mapping[str, Any]) -> None:
        """A cluster (its record) was deleted: what it still had to say comes after ``FLUSH_SECONDS``."""
        if any(one["name"] == "containerInsights" and one["value"] != "disabled" for one in cluster["settings"]):
            self._extension.background("insights", self._flush, str(cluster["clusterName"]), self._resets)

    def _reset(self) -> None:
        self._resets += 1

    def _flush(self, cluster: str, resets: int) -> None:
        time.sleep(FLUSH_SECONDS)
        if resets != self._resets:
            return
        logs = self._extension.client("logs")
        group, stream = f"/aws/ecs/containerinsights/{cluster}/performance", "ClusterTelemetry"
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_group(logGroupName=group)
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_stream(logGroupName=group, logStreamName=stream)
        event = {
            "timestamp": int(time.time() * 1000),
            "message": json.dumps({"Type": "Cluster", "ClusterName": cluster}),
        }
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[event])
