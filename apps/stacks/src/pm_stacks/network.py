"""The network tier as a stack."""

import aws_cdk as cdk

from pm_core import Environment, Settings
from pm_network import PaymentNetwork, PaymentNetworkProps
from pm_stacks.base import TierStack


class NetworkStack(TierStack):
    """VPC, subnets, endpoints, flow log and security groups of one environment."""

    def __init__(self, *, app: cdk.App, environment: Environment, settings: Settings) -> None:
        super().__init__(app=app, tier="network", environment=environment, settings=settings)
        mine = settings.environment(environment)
        network = PaymentNetwork(
            self,
            "Network",
            props=PaymentNetworkProps(
                environment=environment,
                suffix=settings.environment_suffix,
                cidr=mine.cidr,
                availability_zones=settings.availability_zones,
                nat_gateways=mine.nat_gateways,
                log_retention_days=settings.log_retention_days,
            ),
        )
        self.publish(network.contract)
