import json

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from pm_compute import PaymentRegistry, PaymentRegistryProps, PropsError


@pytest.fixture(scope="module")
def template(stack: cdk.Stack) -> Template:
    PaymentRegistry(stack, "Registry", props=PaymentRegistryProps(environment="source", suffix="dev1"))
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
        PaymentRegistryProps(environment="source", suffix="dev1", kept_images=1)
