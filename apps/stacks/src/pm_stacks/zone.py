"""The DNS zone as a stack."""

import aws_cdk as cdk

from pm_core import Settings, ZoneContract, tags
from pm_stacks.base import TierStack
from pm_traffic import PaymentZone, PaymentZoneProps

_WEIGHTS = ("WeightSource", "WeightTarget")


class ZoneStack(TierStack):
    """The zone and the weights in force; one for both environments, published under source."""

    def __init__(self, *, app: cdk.App, settings: Settings) -> None:
        super().__init__(app=app, tier="zone", environment="source", settings=settings)
        zone = PaymentZone(
            self,
            "Zone",
            props=PaymentZoneProps(
                environment=self.environment_name,
                suffix=settings.environment_suffix,
                zone_name=settings.domain,
                record_name=settings.record_name,
                hosted_zone_id=settings.hosted_zone_id,
                log_retention_days=settings.log_retention_days,
            ),
        )
        self.publish(zone.contract)
        self._keep_weights()
        if zone.name_servers is not None:
            cdk.CfnOutput(
                self,
                "NameServers",
                value=cdk.Fn.join(",", zone.name_servers),
                description=f"Delegate {settings.domain} to these before clients use {settings.record_name}.",
            )
        cdk.CfnOutput(
            self,
            "ShiftCommand",
            value="pm shift 5,25,50,100 --bake 5m",
            description="Shifts requests step by step, and back when an alarm goes off; run `pm status` first.",
        )
        cdk.CfnOutput(
            self,
            "WeightsCommand",
            value=f"aws ssm get-parameters --region {settings.region} --names "
            + " ".join(
                ZoneContract.path(settings.environment_suffix, "source", field)
                for field in ("weight_source", "weight_target")
            ),
            description="The weights in force; a later deployment of the traffic stacks keeps them.",
        )

    def _keep_weights(self) -> None:
        """Let nothing but the engine write the weights after they are created.

        CloudFormation writes a parameter's value again, from the template, when anything about the parameter changes,
        a tag included (aws-cdk #25949). So these two carry no tag, neither of their own nor handed on by the stack:
        a new MigrationPhase in the middle of a migration would send all traffic back to the source.
        """
        contract = self.node.find_child("Contract")
        for key in (*tags(self.settings, self.environment_name), "PackageVersion"):
            self.tags.remove_tag(key, priority=300)
            for weight in _WEIGHTS:
                cdk.Tags.of(contract.node.find_child(weight)).remove(key)
