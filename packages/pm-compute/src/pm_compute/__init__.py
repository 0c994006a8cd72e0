"""ImageRegistry, PaymentService and OperatorTask: ECR, ECS Fargate and the load balancer of one environment."""

from pm_compute.errors import PropsError
from pm_compute.image import ExistingImage, ExistingImageProps
from pm_compute.load_balancer import CONTAINER_PORT, ServiceLoadBalancer, ServiceLoadBalancerProps
from pm_compute.operator import OperatorTask, OperatorTaskProps
from pm_compute.operator_permissions import (
    OperatedDeployment,
    OperatedEnvironment,
    OperatedReplication,
    OperatedTraffic,
)
from pm_compute.registry import ImageRegistry, ImageRegistryProps
from pm_compute.service import Candidate, PaymentService, PaymentServiceProps

__all__ = [
    "ImageRegistry",
    "ImageRegistryProps",
    "PaymentService",
    "PaymentServiceProps",
    "Candidate",
    "ExistingImage",
    "ExistingImageProps",
    "OperatorTask",
    "OperatorTaskProps",
    "OperatedDeployment",
    "OperatedEnvironment",
    "OperatedReplication",
    "OperatedTraffic",
    "PropsError",
    "ServiceLoadBalancer",
    "ServiceLoadBalancerProps",
    "CONTAINER_PORT",
]
