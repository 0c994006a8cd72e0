import json

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from pm_compute import ImageRegistry, ImageRegistryProps


def props(program: str) -> ImageRegistryProps:
    return ImageRegistryProps(environment="source", suffix="dev1", program=program)


@pytest.fixture(scope="module")
def template(stack: cdk.Stack) -> Template:
    ImageRegistry(stack, "Registry", props=props("payments"))
    return Template.from_stack(stack)


def test_a_tag_means_one_image_for_ever_and_every_push_is_scanned(template: Template) -> None:
    template.has_resource_properties(
        "AWS::ECR::Repository",
        {
            "RepositoryName": "repository-payments-source-dev1",
            "ImageTagMutability": "IMMUTABLE",
            "ImageScanningConfiguration": {"ScanOnPush": True},
            "EncryptionConfiguration": {
                "EncryptionType": "KMS",
                "KmsKey": {"Fn::GetAtt": ["RegistryKey1053ED4C", "Arn"]},
            },
        },
    )


def test_registry_with_images_can_be_destroyed(template: Template) -> None:
    (repository,) = template.find_resources("AWS::ECR::Repository").values()
    assert repository["Properties"]["EmptyOnDelete"] is True
    assert repository["DeletionPolicy"] == "Delete"


def test_images_without_a_tag_expire_and_no_other(template: Template) -> None:
    (repository,) = template.find_resources("AWS::ECR::Repository").values()
    (rule,) = json.loads(repository["Properties"]["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
    assert rule["selection"] == {
        "tagStatus": "untagged",
        "countType": "sinceImagePushed",
        "countNumber": 7,
        "countUnit": "days",
    }
    assert rule["action"] == {"type": "expire"}


def test_logical_id_of_the_repository_is_pinned(template: Template) -> None:
    assert set(template.find_resources("AWS::ECR::Repository")) == {"RegistryRepositoryC6C96DCD"}


def test_each_program_has_a_repository_and_a_key_of_its_own() -> None:
    both = cdk.Stack(cdk.App(), "Both", env=cdk.Environment(region="us-east-1"))
    for program in ("payments", "operator"):
        ImageRegistry(both, program.capitalize(), props=props(program))
    template = Template.from_stack(both)
    repositories = [one["Properties"] for one in template.find_resources("AWS::ECR::Repository").values()]
    assert {one["RepositoryName"] for one in repositories} == {
        "repository-payments-source-dev1",
        "repository-operator-source-dev1",
    }
    assert len({json.dumps(one["EncryptionConfiguration"]["KmsKey"]) for one in repositories}) == 2
    aliases = {one["Properties"]["AliasName"] for one in template.find_resources("AWS::KMS::Alias").values()}
    assert aliases == {"alias/alias-payments-registry-source-dev1", "alias/alias-operator-registry-source-dev1"}
