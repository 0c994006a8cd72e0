"""Releases of single packages: a plan that lists every problem, then one commit, one tag, and what is built from it."""

from pm_delivery.release.plan import Bump, Plan, make_plan
from pm_delivery.release.run import release

__all__ = ["Bump", "Plan", "make_plan", "release"]
