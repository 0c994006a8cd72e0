"""The tags that every taggable resource carries."""

from pm_core.settings import Environment, Settings

# On a replication task that a stack update has stopped, and that will be resumed after it. Whoever starts or stops the
# task meanwhile takes it off: the task's state is theirs then.
PAUSED_TASK = "pm:resume"


def tags(settings: Settings, environment: Environment) -> dict[str, str]:
    """Environment, MigrationPhase and CostCenter, by which costs and access are told apart."""
    return {
        "Environment": f"{environment}-{settings.environment_suffix}",
        "MigrationPhase": settings.migration_phase,
        "CostCenter": settings.cost_center,
    }
