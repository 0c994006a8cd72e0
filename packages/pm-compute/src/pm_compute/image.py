"""ExistingImage: the image that a service is about to start is there."""

from dataclasses import dataclass

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from pm_compute.functions import FUNCTIONS
from pm_core.cdk import ResourceFunction

_TIMEOUT_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingImageProps:
    """Which image.

    Attributes:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        repository_name: The ECR repository.
        repository_arn: Its ARN.
        repository_uri: What the image's name begins with.
        tag: The image's tag.
        key: Encrypts the function's log.
        log_retention_days: Retention of the function's log.
    """

    environment: str
    suffix: str
    repository_name: str
    repository_arn: str
    repository_uri: str
    tag: str
    key: kms.IKey
    log_retention_days: int


class ExistingImage(Construct):
    """Fails a deployment within seconds when the image is not in ECR, instead of letting ECS retry for hours.

    Whatever starts the image depends on this construct. An update that is rolled back is let through: it goes back to
    what ran before.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: ExistingImageProps) -> None:
        super().__init__(scope, construct_id)
        provider = ResourceFunction(
            self,
            "Provider",
            environment=props.environment,
            suffix=props.suffix,
            qualifier="existing-image",
            code=FUNCTIONS,
            module="image",
            description="Sees that the image to deploy is in ECR",
            key=props.key,
            log_retention_days=props.log_retention_days,
            timeout_seconds=_TIMEOUT_SECONDS,
            asks_for_stack=True,
        )
        provider.allow(
            iam.PolicyStatement(sid="Look", actions=["ecr:DescribeImages"], resources=[props.repository_arn]),
        )
        provider.resource(
            self,
            "Resource",
            kind="Custom::ExistingImage",
            properties={
                "RepositoryName": props.repository_name,
                "RepositoryUri": props.repository_uri,
                "ImageTag": props.tag,
            },
        )
