"""Container images in the embedded registry: a manifest that says which local command stands for the image.

No container engine runs here. What is pushed is a real OCI manifest of an empty image: enough for the registry, for
immutable tags and for the check that a service's image exists; the embedded ECS runs the local command instead.
"""

import hashlib
import json
from typing import Any

_EMPTY_CONFIG = b"{}"
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


def push(ecr: Any, *, repository: str, tag: str) -> None:
    """Push the image's manifest under a tag; a tag that exists already is left alone.

    Args:
        ecr: A boto3 client of ECR.
        repository: Name of the repository.
        tag: Image tag.
    """
    digest = hashlib.sha256(_EMPTY_CONFIG).hexdigest()
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST_TYPE,
        "config": {"mediaType": _CONFIG_TYPE, "digest": f"sha256:{digest}", "size": len(_EMPTY_CONFIG)},
        "layers": [],
    }
    try:
        ecr.put_image(
            repositoryName=repository,
            imageTag=tag,
            imageManifest=json.dumps(manifest),
            imageManifestMediaType=_MANIFEST_TYPE,
        )
    except ecr.exceptions.ImageAlreadyExistsException:
        return
