"""One environment's share of the traffic as a stack."""

import json

import aws_cdk as cdk

from pm_core import ComputeContract, Environment, Settings, ZoneContract, resource_name
from pm_stacks.base import TierStack
from pm_traffic import WeightedEndpoint, WeightedEndpointProps

# What the runbook walks through; any other weight works too.
_STEPS = (0, 5, 25, 50, 100)


class TrafficStack(TierStack):
    """The weighted record and health check of one environment."""

    def __init__(self, *, app: cdk.App, environment: Environment, settings: Settings) -> None:
        super().__init__(app=app, tier="traffic", environment=environment, settings=settings)
        zone = self.read(ZoneContract, environment="source")
        compute = self.read(ComputeContract)
        endpoint = WeightedEndpoint(
            self,
            "Endpoint",
            props=WeightedEndpointProps(
                environment=environment,
                suffix=settings.environment_suffix,
                name=resource_name("endpoint", environment, settings.environment_suffix, qualifier="health"),
                hosted_zone_id=zone.hosted_zone_id,
                record_name=zone.record_name,
                load_balancer_dns_name=compute.load_balancer_dns_name,
                weight=zone.weight_source if environment == "source" else zone.weight_target,
                weight_parameter=self._weight_parameter,
                ttl_seconds=settings.record_ttl_seconds,
                log_retention_days=settings.log_retention_days,
            ),
        )
        self.publish(endpoint.contract)
        cdk.CfnOutput(
            self,
            "HealthEndpoint",
            value=f"https://{zone.record_name}/health",
            description="Answers 200 from whichever environment the client is sent to (header PM-Environment).",
        )
        cdk.CfnOutput(
            self,
            "HealthCheckCommand",
            value="aws route53 get-health-check-status --health-check-id " + endpoint.health_check.attr_health_check_id,
            description="What Route 53's checkers see.",
        )
        for weight in _STEPS:
            cdk.CfnOutput(
                self,
                f"Weight{weight}Command",
                value=self._weight_command(zone, compute, endpoint, weight),
                description=f"Sets this environment's weight to {weight} by hand; `pm shift` sets both weights.",
            )

        cdk.CfnOutput(
            self,
            "TrafficRollbackCommand",
            value=self._weight_command(zone, compute, endpoint, 100 if environment == "source" else 0),
            description="Takes all requests back to the source by hand: the source's first, then the target's. "
            "`pm rollback` does both, and moves the writer back.",
        )

    @property
    def _weight_parameter(self) -> str:
        """Path of this environment's weight in force; the zone's stack, which has both, is the source's."""
        field = "weight_source" if self.environment_name == "source" else "weight_target"
        return ZoneContract.path(self.settings.environment_suffix, "source", field)

    def _weight_command(
        self, zone: ZoneContract, compute: ComputeContract, endpoint: WeightedEndpoint, weight: int
    ) -> str:
        """Two commands: the parameter first, so that a later deployment of this stack keeps the weight."""
        batch = {
            "Changes": [
                {
                    "Action": "UPSERT",
                    "ResourceRecordSet": {
                        "Name": f"{zone.record_name}.",
                        "Type": "CNAME",
                        "SetIdentifier": self.environment_name,
                        "Weight": weight,
                        "TTL": self.settings.record_ttl_seconds,
                        "HealthCheckId": endpoint.health_check.attr_health_check_id,
                        "ResourceRecords": [{"Value": compute.load_balancer_dns_name}],
                    },
                }
            ]
        }
        return (
            f"aws ssm put-parameter --region {self.settings.region} --overwrite --name {self._weight_parameter} "
            f"--value {weight} && "
            f"aws route53 change-resource-record-sets --hosted-zone-id {zone.hosted_zone_id} "
            f"--change-batch '{json.dumps(batch, separators=(',', ':'))}'"
        )
