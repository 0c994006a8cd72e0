"""PaymentNetwork: VPC, subnets, endpoints, flow logs and security groups of one environment."""

from pm_network.network import NetworkPropsError, PaymentNetwork, PaymentNetworkProps
from pm_network.security_groups import POSTGRES_PORT, SERVICE_PORT, SecurityGroups

__all__ = [
    "POSTGRES_PORT",
    "SERVICE_PORT",
    "NetworkPropsError",
    "PaymentNetwork",
    "PaymentNetworkProps",
    "SecurityGroups",
]
