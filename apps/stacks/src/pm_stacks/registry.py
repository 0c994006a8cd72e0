"""The image registry of one environment as a stack."""

import aws_cdk as cdk

from pm_compute import ImageRegistry, ImageRegistryProps
from pm_core import Environment, RegistryContract, Settings, TargetRegistryContract
from pm_stacks.base import TierStack


class RegistryStack(TierStack):
    """Where one environment's service pulls its images from; apart from compute, so that an image can come first.

    The target's also keeps the images of the operator task, which runs there.
    """

    def __init__(self, *, app: cdk.App, environment: Environment, settings: Settings) -> None:
        super().__init__(app=app, tier="registry", environment=environment, settings=settings)
        payments = self._registry("Registry", "payments").repository
        cdk.CfnOutput(
            self,
            "LoginCommand",
            value=f"aws ecr get-login-password --region {settings.region}"
            f" | docker login --username AWS --password-stdin {self.account}.dkr.ecr.{self.region}.{self.url_suffix}",
            description="Lets docker push to the registry for twelve hours.",
        )
        self._say_what_to_push("", payments.repository_uri, settings.image_tag, "before compute")
        if environment == "source":
            self.publish(
                RegistryContract(repository_name=payments.repository_name, repository_uri=payments.repository_uri)
            )
            return
        operator = self._registry("OperatorRegistry", "operator").repository
        self._say_what_to_push("Operator", operator.repository_uri, settings.operator_image_tag, "before pm --remote")
        self.publish(
            TargetRegistryContract(
                repository_name=payments.repository_name,
                repository_uri=payments.repository_uri,
                operator_repository_name=operator.repository_name,
                operator_repository_uri=operator.repository_uri,
            )
        )

    def _registry(self, construct_id: str, program: str) -> ImageRegistry:
        return ImageRegistry(
            self,
            construct_id,
            props=ImageRegistryProps(
                environment=self.environment_name, suffix=self.settings.environment_suffix, program=program
            ),
        )

    def _say_what_to_push(self, whose: str, uri: str, tag: str, when: str) -> None:
        cdk.CfnOutput(self, f"{whose}ImageName", value=f"{uri}:{tag}", description=f"Push this image {when}.")
        cdk.CfnOutput(
            self,
            f"{whose}PushCommand",
            value=f"docker push {uri}:{tag}",
            description="Run LoginCommand first.",
        )
