"""PaymentRegistry and PaymentService: ECR, ECS Fargate and the load balancer of one environment."""

from pm_compute.errors import PropsError
from pm_compute.image import ExistingImage, ExistingImageProps
from pm_compute.load_balancer import CONTAINER_PORT, ServiceLoadBalancer, ServiceLoadBalancerProps
from pm_compute.registry import PaymentRegistry, PaymentRegistryProps
from pm_compute.service import Candidate, PaymentService, PaymentServiceProps

__all__ = [
    "PaymentRegistry",
    "PaymentRegistryProps",
    "PaymentService",
    "PaymentServiceProps",
    "Candidate",
    "ExistingImage",
    "ExistingImageProps",
    "PropsError",
    "ServiceLoadBalancer",
    "ServiceLoadBalancerProps",
    "CONTAINER_PORT",
]
