"""Elastic Container Registry: what MiniStack answers differently from AWS, and properties that nobody would honour."""

import json

from pm_rehearsal.cloud.extension import (
    CreateHandler,
    Extension,
    Properties,
    Provisioned,
    Request,
    Response,
    ServiceError,
    UnsupportedPropertyError,
    UpdateHandler,
)

TYPE = "AWS::ECR::Repository"
PROPERTIES = frozenset(
    (
        "EmptyOnDelete",
        "EncryptionConfiguration",
        "ImageScanningConfiguration",
        "ImageTagMutability",
        "LifecyclePolicy",
        "RepositoryName",
        "RepositoryPolicyText",
        "Tags",
    )
)


def install(extension: Extension) -> None:
    """Make a missing image an error, and unknown properties too; tell a repeated push from another image."""
    extension.intercept("ecr", _describe_images)
    extension.intercept("ecr", _RepeatedPush(extension))
    extension.wrap(TYPE, create=_create, update=_update)


def _describe_images(request: Request) -> Response | None:
    """DescribeImages: AWS answers ImageNotFoundException for an image that is not there, MiniStack an empty list."""
    wanted = request.parameters.get("imageIds")
    if request.action != "DescribeImages" or not wanted:
        return None
    answer = request.forward()
    found = json.loads(answer[2]).get("imageDetails")
    if found is not None:
        known = {(detail["imageDigest"], tag) for detail in found for tag in (*detail["imageTags"], None)}
        for identifier in wanted:
            digest, tag = identifier.get("imageDigest"), identifier.get("imageTag")
            if not any(digest in (None, d) and tag == t for d, t in known):
                raise ServiceError(
                    "ImageNotFoundException",
                    f"The image with imageId {identifier} does not exist within the repository with name "
                    f"'{request.parameters['repositoryName']}'",
                )
    return answer


class _RepeatedPush:
    """PutImage of the very image that has the tag: ImageAlreadyExistsException; MiniStack says that of another one."""

    def __init__(self, extension: Extension) -> None:
        self._ecr = extension.module("services.ecr")

    def __call__(self, request: Request) -> Response | None:
        wanted = request.parameters
        if request.action != "PutImage" or "imageTag" not in wanted:
            return None
        existing = self._ecr._find_image(wanted["repositoryName"], {"imageTag": wanted["imageTag"]})
        if existing is None or existing["imageDigest"] != self._ecr._image_digest(wanted["imageManifest"]):
            return None
        raise ServiceError(
            "ImageAlreadyExistsException",
            f"Image with digest '{existing['imageDigest']}' and tag '{wanted['imageTag']}' already exists in the "
            f"repository with name '{wanted['repositoryName']}'",
        )


def _create(original: CreateHandler, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
    _check(properties)
    return original(logical_id, properties, stack_name)


def _update(
    original: UpdateHandler, physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str
) -> Provisioned:
    _check(new)
    return original(physical_id, old, new, stack_name, logical_id)


def _check(properties: Properties) -> None:
    unknown = sorted(set(properties) - PROPERTIES)
    if unknown:
        raise UnsupportedPropertyError(
            f"{TYPE}: property {', '.join(unknown)} is not supported by the embedded AWS; "
            f"it honours {', '.join(sorted(PROPERTIES))}"
        )
