"""The data plane of one application load balancer, a process of its own: ``python -m pm_rehearsal.cloud.balancer``."""

from pm_rehearsal.cloud.balancer.configuration import (
    Configuration,
    FixedResponse,
    Forward,
    HealthCheck,
    Listener,
    Redirect,
    Rule,
    Target,
    TargetGroup,
)

__all__ = [
    "Configuration",
    "FixedResponse",
    "Forward",
    "HealthCheck",
    "Listener",
    "Redirect",
    "Rule",
    "Target",
    "TargetGroup",
]
