import json
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from pm_compute import ImageRegistry, ImageRegistryProps, PropsError


def props(program: str, **changed: Any) -> ImageRegistryProps:
    return ImageRegistryProps(environment="source", suffix="dev1", program=program, **changed)


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


def test_old_images_expire_but_enough_to_roll_back_stay(template: Template) -> None:
    (repository,) = template.find_resources("AWS::ECR::Repository").values()
    rules = json.loads(repository["Properties"]["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
    assert [(rule["selection"]["tagStatus"], rule["selection"]["countNumber"]) for rule in rules] == [
        ("untagged", 7),
        ("any", 50),
    ]


def test_logical_id_of_the_repository_is_pinned(template: Template) -> None:
    assert set(template.find_resources("AWS::ECR::Repository")) == {"RegistryRepositoryC6C96DCD"}


def test_keeping_one_image_only_is_refused() -> None:
    with pytest.raises(PropsError, match="predecessor"):
        props("payments", kept_images=1)


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
