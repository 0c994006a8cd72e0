"""The function behind ExistingImage; requests are checked against botocore's own model."""

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pm_compute.functions.image import ImageMissingError, digest

IMAGE = {"repositoryName": "payments", "imageIds": [{"imageTag": "1.2.3"}]}
URI = "111122223333.dkr.ecr.us-east-1.amazonaws.com/payments"


@pytest.fixture
def ecr() -> Any:
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
    return session.client("ecr")


def test_an_image_that_is_there_is_known_by_its_digest(ecr: Any) -> None:
    with Stubber(ecr) as stub:
        stub.add_response("describe_images", {"imageDetails": [{"imageDigest": "sha256:0"}]}, IMAGE)
        assert digest(ecr, repository="payments", tag="1.2.3", uri=URI) == "sha256:0"


@pytest.mark.parametrize("code", ["ImageNotFoundException", "RepositoryNotFoundException"])
def test_a_missing_image_fails_at_once_and_says_how_to_push_it(ecr: Any, code: str) -> None:
    with Stubber(ecr) as stub:
        stub.add_client_error("describe_images", code)
        with pytest.raises(ImageMissingError, match=f"docker push {URI}:1.2.3"):
            digest(ecr, repository="payments", tag="1.2.3", uri=URI)
