"""The tags that every taggable resource carries."""

from pm_core.settings import Environment, Settings


def tags(settings: Settings, environment: Environment) -> dict[str, str]:
    """Environment, MigrationPhase and CostCenter, by which costs and access are told apart."""
    return {
        "Environment": f"{environment}-{settings.environment_suffix}",
        "MigrationPhase": settings.migration_phase,
        "CostCenter": settings.cost_center,
    }
