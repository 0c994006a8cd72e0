"""One stack for a construct, with the feature flags of the real deployment, and what is measured in it."""

import json
import sys
from pathlib import Path

import aws_cdk as cdk
import pytest

from pm_observability import (
    LogReplica,
    MonitoredDatabase,
    MonitoredEndpoint,
    MonitoredEnvironment,
    MonitoredLogs,
    MonitoredReplication,
    MonitoredService,
)

sys.path.insert(0, str(Path(__file__).parent))  # dashboards is shared by the tests of both kinds

_CDK_JSON = Path(__file__).parents[3] / "cdk.json"
_TASKS = ("load", "forward", "reverse")


@pytest.fixture(scope="module")
def stack() -> cdk.Stack:
    context = json.loads(_CDK_JSON.read_text())["context"]
    return cdk.Stack(cdk.App(context=context), "Stack", env=cdk.Environment(region="us-east-1"))


@pytest.fixture(scope="session")
def replication() -> MonitoredReplication:
    return MonitoredReplication(
        instance_identifier="replication-instance-target-dev1",
        task_arns={name: f"arn:aws:dms:us-east-1:111122223333:task:{name.upper()}" for name in _TASKS},
        task_identifiers={name: f"replication-task-{name}-target-dev1" for name in _TASKS},
    )


def _environment(name: str) -> MonitoredEnvironment:
    return MonitoredEnvironment(
        database=MonitoredDatabase(
            instance_id=f"database-{name}-dev1",
            rotations={user: f"function-rotate-{user}-{name}-dev1" for user in ("master", "app")},
        ),
        service=MonitoredService(
            cluster_name=f"cluster-{name}-dev1",
            service_name=f"service-payments-{name}-dev1",
            load_balancer_full_name=f"app/load-balancer-{name}-dev1/0123456789abcdef",
            target_group_arn=f"arn:aws:elasticloadbalancing:us-east-1:111122223333:targetgroup/target-group-{name}-dev1/0123",
        ),
        endpoint=MonitoredEndpoint(health_check_id=f"check-{name}", region="us-east-1"),
        logs=MonitoredLogs(
            bucket=f"logs-{name}",
            region="us-east-1",
            replicas={"audit": LogReplica(bucket=f"replica-{name}", region="us-west-2")},
        ),
    )


@pytest.fixture(scope="session")
def monitored() -> dict[str, MonitoredEnvironment]:
    """Both environments."""
    return {name: _environment(name) for name in ("source", "target")}
