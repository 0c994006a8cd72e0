"""The function behind ExistingImage; requests are checked against botocore's own model."""

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pm_compute.functions import image
from pm_compute.functions.image import ImageMissingError, digest
from pm_core.custom_resources import Request

IMAGE = {"repositoryName": "payments", "imageIds": [{"imageTag": "1.2.3"}]}
URI = "111122223333.dkr.ecr.us-east-1.amazonaws.com/payments"
STACK = "arn:aws:cloudformation:us-east-1:111122223333:stack/compute/1"
PROPERTIES = {"RepositoryName": "payments", "ImageTag": "1.2.3", "RepositoryUri": URI}


def client(service: str) -> Any:
    return boto3.client(service, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")


@pytest.fixture
def ecr() -> Any:
    return client("ecr")


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


@pytest.mark.parametrize(
    ("request_type", "status"), [("Create", "CREATE_IN_PROGRESS"), ("Update", "UPDATE_IN_PROGRESS")]
)
def test_a_deployment_of_a_missing_image_fails(
    ecr: Any, request_type: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Stubber(ecr) as images:
        images.add_client_error("describe_images", "ImageNotFoundException", expected_params=IMAGE)
        with pytest.raises(ImageMissingError):
            work(ecr, request_type, status, monkeypatch)


def test_a_rollback_to_an_image_that_is_gone_passes(ecr: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with Stubber(ecr):  # which is asked nothing
        work(ecr, "Update", "UPDATE_ROLLBACK_IN_PROGRESS", monkeypatch)


def work(ecr: Any, request_type: str, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cloudformation = client("cloudformation")
    clients = {"ecr": ecr, "cloudformation": cloudformation}
    monkeypatch.setattr(image.boto3, "client", lambda name, **_: clients[name])
    with Stubber(cloudformation) as stacks:
        stack = {"StackName": "compute", "CreationTime": "2026-01-01T00:00:00Z", "StackStatus": status}
        stacks.add_response("describe_stacks", {"Stacks": [stack]}, {"StackName": STACK})
        assert (
            image.work(Request(kind=request_type, properties=PROPERTIES, stack_id=STACK, seconds=10)).physical_id
            == "image:payments"
        )
