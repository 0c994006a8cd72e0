"""What every stack of the migration has in common."""

from typing import TypeVar

import aws_cdk as cdk
from aws_cdk import aws_ssm as ssm

from pm_core import Build, Contract, Environment, Settings, tags
from pm_core.cdk import apply_aspects, publish, read
from pm_stacks.builds import build_of
from pm_stacks.tiers import StackEntry, Tier

C = TypeVar("C", bound=Contract)


class TierStack(cdk.Stack):
    """One tier of one environment.

    Args:
        app: The app that composes the deployment.
        tier: Which one.
        environment: source or target.
        settings: The deployment's settings.

    Attributes:
        tier: As given.
        environment_name: As given (``environment`` is CDK's word for account and region).
        settings: As given.
        build: What the stack is made from; the version of the tier's package is also the output and the tag
            ``PackageVersion``.
    """

    def __init__(self, *, app: cdk.App, tier: Tier, environment: Environment, settings: Settings) -> None:
        entry = StackEntry(tier=tier, environment=environment)
        self.tier: Tier = tier
        self.environment_name: Environment = environment
        self.settings = settings
        self.build = build_of(*entry.packages)
        wanted = tags(settings, environment)
        super().__init__(
            app,
            entry.id,
            stack_name=entry.name(settings.environment_suffix),
            description=f"Payment migration: {environment} {tier}, {entry.package} {self.build.version}",
            env=cdk.Environment(account=settings.account, region=entry.region(settings)),
            # CloudFormation hands a stack's tags on to whatever the template does not tag itself.
            tags=wanted | {"PackageVersion": self.build.version},
            termination_protection=False,
        )
        apply_aspects(self, database_tls=settings.database_ssl_mode != "disable")
        for key, value in wanted.items():
            cdk.Tags.of(self).add(key, value)
        cdk.CfnOutput(
            self,
            "PackageVersion",
            value=self.build.version,
            description=f"Version of {entry.package} that made this stack.",
        )
        # SSM keeps the values before: `nox -s rollback` finds there what the stack was made from.
        ssm.StringParameter(
            self,
            "Build",
            parameter_name=Build.path(settings.environment_suffix, environment, tier),
            string_value=self.build.text,
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
