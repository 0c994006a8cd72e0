"""Elastic Container Service: MiniStack's control plane, tasks as real processes, and a service scheduler of our own."""

from pm_rehearsal.cloud.ecs.service import install

__all__ = ["install"]
