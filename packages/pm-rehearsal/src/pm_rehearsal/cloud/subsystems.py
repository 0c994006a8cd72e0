"""Every subsystem of the embedded AWS, in the order in which they are installed."""

from pm_rehearsal.cloud import (
    balancing,
    certificates,
    dms,
    dns,
    ecs,
    health,
    lambdas,
    notifications,
    providers,
    rds,
    rds_events,
    registry,
    rotation,
    scaling,
    schemas,
    stack_parameters,
)
from pm_rehearsal.cloud.extension import Extension


def install(extension: Extension) -> None:
    """Install them all; stop and reset hooks run in the opposite order."""
    for subsystem in (
        schemas,
        stack_parameters,
        lambdas,
        notifications,
        providers,
        rds,
        rds_events,
        rotation,
        dms,
        registry,
        certificates,
        balancing,
        health,
        dns,
        ecs,
        scaling,
    ):
        subsystem.install(extension)
