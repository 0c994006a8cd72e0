"""PaymentRegistry and PaymentService: ECR, ECS Fargate and the load balancer of one environment."""

from pm_compute.errors import PropsError
from pm_compute.registry import PaymentRegistry, PaymentRegistryProps
from pm_compute.service import CONTAINER_PORT, Candidate, PaymentService, PaymentServiceProps

__all__ = [
    "PaymentRegistry",
    "PaymentRegistryProps",
    "PaymentService",
    "PaymentServiceProps",
    "Candidate",
    "PropsError",
    "CONTAINER_PORT",
]
