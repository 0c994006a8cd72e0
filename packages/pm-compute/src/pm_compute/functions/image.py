"""The function behind ExistingImage: an image that ECS would look for in vain fails the deployment at once."""

from typing import Any

import boto3
from botocore.config import Config

from pm_core.custom_resources import LOG, Outcome, Request, answers, stack_status

_AWS = Config(connect_timeout=5, read_timeout=30, retries={"max_attempts": 8, "mode": "standard"})


class ImageMissingError(LookupError):
    """The repository holds no such image; the message says how to push it."""


def digest(ecr: Any, *, repository: str, tag: str, uri: str) -> str:
    """The digest of an image.

    Raises:
        ImageMissingError: There is none with this tag, or no such repository.
    """
    try:
        found = ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])["imageDetails"]
    except (ecr.exceptions.ImageNotFoundException, ecr.exceptions.RepositoryNotFoundException):
        found = []
    if not found:
        raise ImageMissingError(
            f"{uri}:{tag} is not in ECR: push it (`docker push {uri}:{tag}`), or set imageTag to one that is there; "
            "ECS would try to start it for hours"
        )
    return str(found[0]["imageDigest"])


def _rolled_back(stack_id: str) -> bool:
    """Whether a failed update of the stack is being taken back."""
    return stack_status(boto3.client("cloudformation", config=_AWS), stack_id) == "UPDATE_ROLLBACK_IN_PROGRESS"


def work(request: Request) -> Outcome:
    """One request of CloudFormation. Properties: RepositoryName, ImageTag, RepositoryUri."""
    repository, tag = request.properties["RepositoryName"], request.properties["ImageTag"]
    if request.kind == "Update" and _rolled_back(request.stack_id):
        # Back to the tag before: refusing it, should its image be gone by now, would protect nothing and leave the
        # stack in UPDATE_ROLLBACK_FAILED.
        LOG.warning("%s:%s is not looked for: the stack's update is being rolled back", repository, tag)
    elif request.kind != "Delete":
        found = digest(
            boto3.client("ecr", config=_AWS), repository=repository, tag=tag, uri=request.properties["RepositoryUri"]
        )
        LOG.info("%s:%s is %s", repository, tag, found)
    return Outcome(physical_id=f"image:{repository}")


handle = answers(work)
