"""Where the images of one program are kept."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_kms as kms
from constructs import Construct

from pm_core import resource_name


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRegistryProps:
    """What a registry needs to know.

    Attributes:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        program: Whose images, for example ``payments``; in the names of repository and key alias.
        untagged_days: Days until an image without a tag is removed. Default 7.

    Source: AWS::ECR::Repository LifecyclePolicy.
    """

    environment: str
    suffix: str
    program: str
    untagged_days: int = 7


class ImageRegistry(Construct):
    """An encrypted repository whose tags never change meaning, scanned on push, emptied when it is deleted.

    Attributes:
        repository: The repository.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: ImageRegistryProps) -> None:
        super().__init__(scope, construct_id)
        key = kms.Key(
            self,
            "Key",
            alias=resource_name("alias", props.environment, props.suffix, qualifier=f"{props.program}-registry"),
            description=f"Images of {props.program}",
            enable_key_rotation=True,
            pending_window=cdk.Duration.days(7),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        self.repository: ecr.IRepository = ecr.Repository(
            self,
            "Repository",
            repository_name=resource_name("repository", props.environment, props.suffix, qualifier=props.program),
            image_tag_mutability=ecr.TagMutability.IMMUTABLE,
            image_scan_on_push=True,
            encryption=ecr.RepositoryEncryption.KMS,
            encryption_key=key,
            empty_on_delete=True,
            removal_policy=cdk.RemovalPolicy.DESTROY,
            # Nothing that has a tag expires: ECR does not know which one a service still runs, or would be rolled back
            # to, and a push of several architectures with attestations counts as several images. What an image with a
            # tag refers to stays with it.
            # Source: Amazon ECR user guide, "Automate the cleanup of images by using lifecycle policies".
            lifecycle_rules=[
                ecr.LifecycleRule(
                    rule_priority=1,
                    description="Images that lost their tag",
                    tag_status=ecr.TagStatus.UNTAGGED,
                    max_image_age=cdk.Duration.days(props.untagged_days),
                ),
            ],
        )
