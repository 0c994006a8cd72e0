"""The environments' apps that are installed, known by the entry-point group ``pm.environments``."""

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Protocol, cast

import aws_cdk as cdk

from pm_core import Environment, Settings
from pm_stacks.base import TierStack
from pm_stacks.composition import Selection
from pm_stacks.tiers import StackEntry, Tier

GROUP = "pm.environments"


class EnvironmentApp(Protocol):
    """What an app's package offers.

    Attributes:
        TIERS: Its tiers, in the order in which they deploy.
    """

    TIERS: Sequence[Tier]

    def compose(self, app: cdk.App, settings: Settings, only: Selection) -> tuple[TierStack, ...]:
        """Build the selected stacks."""
        ...


def installed_environments() -> dict[Environment, EnvironmentApp]:
    """The apps by environment, source first."""
    found = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    return {cast("Environment", entry.name): entry.load() for entry in found}


def catalogue() -> dict[str, StackEntry]:
    """Every stack that the installed apps can make, by its id."""
    entries = [
        StackEntry(tier=tier, environment=environment)
        for environment, app in installed_environments().items()
        for tier in app.TIERS
    ]
    return {entry.id: entry for entry in entries}
