"""AWS DMS inside the embedded AWS: the parts, put together."""

import os
from functools import partial
from typing import Any

from pm_rehearsal.cloud import rds
from pm_rehearsal.cloud.dms import metrics
from pm_rehearsal.cloud.dms.endpoints import AdminAt, Endpoints
from pm_rehearsal.cloud.dms.events import Events
from pm_rehearsal.cloud.dms.infrastructure import Infrastructure, Tags
from pm_rehearsal.cloud.dms.providers import (
    EndpointProvider,
    EventSubscriptionProvider,
    ReplicationInstanceProvider,
    ReplicationSubnetGroupProvider,
    ReplicationTaskProvider,
)
from pm_rehearsal.cloud.dms.store import Resource
from pm_rehearsal.cloud.dms.tasks import Tasks
from pm_rehearsal.cloud.extension import Action, Extension
from pm_rehearsal.cloud.settings import LATENCY_VARIABLE

TARGET_PREFIX = "AmazonDMSv20160101"


class Service:
    """All of DMS's state and actions.

    Args:
        extension: The running MiniStack.
        admin_at: The internal superuser's conninfo of the RDS instance on a port, None when there is none.
        latency_seconds: Hold each replicated change back for so long.
    """

    def __init__(self, extension: Extension, *, admin_at: AdminAt, latency_seconds: float) -> None:
        self._tags = Tags()
        self._events = Events(extension, tags=self._tags)
        self._infrastructure = Infrastructure(
            extension, tags=self._tags, in_use=lambda arn: self._tasks.on_instance(arn)
        )
        self._endpoints = Endpoints(
            extension,
            tags=self._tags,
            admin_at=admin_at,
            instance=self._instance,
            tasks_of=lambda arn, running: self._tasks.of_endpoint(arn, running),
        )
        self._tasks = Tasks(
            extension,
            tags=self._tags,
            endpoints=self._endpoints,
            events=self._events,
            instance=self._instance,
            publish=partial(metrics.publish, extension),
            latency_seconds=latency_seconds,
        )

    def actions(self) -> dict[str, Action]:
        """Every action by name."""
        return {
            **self._tags.actions(),
            **self._events.actions(),
            **self._infrastructure.actions(),
            **self._endpoints.actions(),
            **self._tasks.actions(),
        }

    def close(self) -> None:
        """Forget everything and end what runs; databases are left as they are."""
        self._tasks.close()
        for shelf in (
            *(self._infrastructure.groups, self._infrastructure.instances),
            *(self._endpoints.endpoints, self._endpoints.connections, self._events.subscriptions),
        ):
            shelf.clear()
        self._tags.clear()

    def _instance(self, arn: str) -> Resource:
        return self._infrastructure.instances.get(arn)


def install(extension: Extension) -> None:
    """Serve the API and the CloudFormation types.

    Raises:
        ValueError: The added latency is not a number of seconds.
    """
    service = Service(extension, admin_at=_admin_at, latency_seconds=_latency_seconds())
    extension.serve(key="dms", target_prefix=TARGET_PREFIX, actions=service.actions())
    for provider in (
        ReplicationSubnetGroupProvider,
        ReplicationInstanceProvider,
        EndpointProvider,
        ReplicationTaskProvider,
        EventSubscriptionProvider,
    ):
        extension.provide(provider(extension))
    extension.on_reset(service.close)
    extension.on_stop(service.close)


def _admin_at(port: int) -> dict[str, Any] | None:
    return rds.rdsadmin_conninfo_at(port)


def _latency_seconds() -> float:
    text = os.environ.get(LATENCY_VARIABLE) or "0"
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 60:
        raise ValueError(f"{LATENCY_VARIABLE}={text}: give the seconds by which replication lags, 0 to 60")
    return seconds
