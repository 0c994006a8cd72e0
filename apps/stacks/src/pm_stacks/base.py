"""What every stack of the migration has in common."""

from importlib.metadata import version
from typing import Literal, TypeVar

import aws_cdk as cdk

from pm_core import SHARED_TIERS, Contract, Environment, Settings, stack_name, tags
from pm_core.cdk import apply_aspects, publish, read

C = TypeVar("C", bound=Contract)
Tier = Literal[
    "network",
    "audit",
    "data",
    "registry",
    "zone",
    "certificate",
    "compute",
    "traffic",
    "replication",
    "observability",
]

# Tiers that share another tier's package; any other tier is made from `pm-<tier>`.
_PACKAGES = {"audit": "pm-data", "registry": "pm-compute", "zone": "pm-traffic", "certificate": "pm-traffic"}

# Findings of cfn-lint that are not ours to avoid: CDK writes DependsOn next to the reference that implies it (W3005),
# and availability zones are a setting, so that synthesis asks no account for them (W3010).
_LINT = {"cfn-lint": {"config": {"ignore_checks": ["W3005", "W3010"]}}}


def stack_id(tier: Tier, environment: Environment) -> str:
    """``<tier>-<environment>``, by which commands select a stack; ``<tier>`` alone when both environments share it."""
    return tier if tier in SHARED_TIERS else f"{tier}-{environment}"


class TierStack(cdk.Stack):
    """One tier of one environment.

    Args:
        app: The app that composes the deployment.
        tier: Which one.
        environment: source or target.
        settings: The deployment's settings.
        region: Where the stack lives, when that is not the deployment's region.

    Attributes:
        tier: As given.
        environment_name: As given (``environment`` is CDK's word for account and region).
        settings: As given.
        package_version: Version of the tier's package, also the output and the tag ``PackageVersion``.
    """

    def __init__(
        self, *, app: cdk.App, tier: Tier, environment: Environment, settings: Settings, region: str | None = None
    ) -> None:
        package = _PACKAGES.get(tier, f"pm-{tier}")
        self.tier: Tier = tier
        self.environment_name: Environment = environment
        self.settings = settings
        self.package_version = version(package)
        wanted = tags(settings, environment)
        super().__init__(
            app,
            stack_id(tier, environment),
            stack_name=stack_name(tier, environment, settings.environment_suffix),
            description=f"Payment migration: {environment} {tier}, {package} {self.package_version}",
            env=cdk.Environment(account=settings.account, region=region or settings.region),
            # CloudFormation hands a stack's tags on to whatever the template does not tag itself.
            tags=wanted | {"PackageVersion": self.package_version},
            termination_protection=False,
        )
        self.template_options.metadata = _LINT
        apply_aspects(self)
        for key, value in wanted.items():
            cdk.Tags.of(self).add(key, value)
        cdk.CfnOutput(
            self,
            "PackageVersion",
            value=self.package_version,
            description=f"Version of {package} that made this stack.",
        )

    def publish(self, contract: Contract) -> None:
        """Tell the other tiers: one SSM parameter per field of ``contract``, under this stack's environment."""
        publish(self, contract, suffix=self.settings.environment_suffix, environment=self.environment_name)

    def read(self, contract: type[C], *, environment: Environment | None = None) -> C:
        """What another tier published; resolved by CloudFormation when this stack is deployed.

        Args:
            contract: The contract's type.
            environment: Who published it; default this stack's own environment.
        """
        return read(
            self,
            contract,
            suffix=self.settings.environment_suffix,
            environment=environment or self.environment_name,
            # Only the network's lists are published, one element per zone.
            list_length=len(self.settings.availability_zones),
        )
