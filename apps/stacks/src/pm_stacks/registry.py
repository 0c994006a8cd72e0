"""The image registry of one environment as a stack."""

import aws_cdk as cdk

from pm_compute import PaymentRegistry, PaymentRegistryProps
from pm_core import Environment, Settings
from pm_stacks.base import TierStack


class RegistryStack(TierStack):
    """Where one environment's service pulls its images from; apart from compute, so that an image can come first."""

    def __init__(self, *, app: cdk.App, environment: Environment, settings: Settings) -> None:
        super().__init__(app=app, tier="registry", environment=environment, settings=settings)
        registry = PaymentRegistry(
            self,
            "Registry",
            props=PaymentRegistryProps(environment=environment, suffix=settings.environment_suffix),
        )
        self.publish(registry.contract)
        uri = registry.repository.repository_uri
        cdk.CfnOutput(self, "ImageName", value=f"{uri}:{settings.image_tag}", description="Push this image first.")
        cdk.CfnOutput(
            self,
            "PushCommand",
            value=f"docker push {uri}:{settings.image_tag}",
            description="After `aws ecr get-login-password | docker login`.",
        )
