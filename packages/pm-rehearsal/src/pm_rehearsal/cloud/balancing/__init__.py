"""Elastic Load Balancing: MiniStack's control plane with a real load balancer process behind each application one."""

from pm_rehearsal.cloud.balancing.service import install
from pm_rehearsal.cloud.balancing.traffic import Health, Traffic, traffic_of

__all__ = ["Health", "Traffic", "install", "traffic_of"]
