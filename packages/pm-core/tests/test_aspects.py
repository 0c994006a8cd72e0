"""The aspects refuse what somebody may add next year: foreign resources, unencrypted or undying."""

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Annotations, Match

from pm_core.cdk.aspects import apply_aspects

ANYTHING = Match.string_like_regexp(".*")


def errors_of(kind: str, properties: dict[str, Any] | None = None, **options: Any) -> list[str]:
    """What the aspects say about one resource written as JSON."""
    stack = cdk.Stack(cdk.App(), "Stack")
    apply_aspects(stack)
    resource = cdk.CfnResource(stack, "Foreign", type=kind, properties=properties or {})
    for name, value in options.items():
        setattr(resource.cfn_options, name, value)
    return _errors(stack)


def _errors(stack: cdk.Stack) -> list[str]:
    return [str(found.entry.data) for found in Annotations.from_stack(stack).find_error("*", ANYTHING)]


# One that holds data in clear text, and one that does not, of each type.
EXAMPLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "AWS::CloudTrail::Trail": ({}, {"KMSKeyId": "key"}),
    "AWS::DMS::ReplicationInstance": ({}, {"KmsKeyId": "key"}),
    "AWS::DynamoDB::Table": ({"SSESpecification": {"SSEEnabled": False}}, {"SSESpecification": {"SSEEnabled": True}}),
    "AWS::EC2::Volume": ({"Encrypted": False}, {"Encrypted": True}),
    "AWS::ECR::Repository": (
        {"EncryptionConfiguration": {"EncryptionType": "AES256"}},
        {"EncryptionConfiguration": {"EncryptionType": "KMS"}},
    ),
    "AWS::EFS::FileSystem": ({}, {"Encrypted": True}),
    "AWS::ElastiCache::ReplicationGroup": (
        {"AtRestEncryptionEnabled": True},
        {"AtRestEncryptionEnabled": True, "TransitEncryptionEnabled": True},
    ),
    "AWS::KMS::Key": ({"EnableKeyRotation": False}, {"EnableKeyRotation": True}),
    "AWS::Kinesis::Stream": ({}, {"StreamEncryption": {"EncryptionType": "KMS", "KeyId": "key"}}),
    "AWS::Lambda::Function": (
        {"Environment": {"Variables": {"TOKEN": "x"}}},
        {"Environment": {"Variables": {"TOKEN": "x"}}, "KmsKeyArn": "key"},
    ),
    "AWS::Logs::LogGroup": ({}, {"KmsKeyId": "key"}),
    "AWS::OpenSearchService::Domain": (
        {"EncryptionAtRestOptions": {"Enabled": True}},
        {"EncryptionAtRestOptions": {"Enabled": True}, "NodeToNodeEncryptionOptions": {"Enabled": "true"}},
    ),
    "AWS::RDS::DBCluster": ({"StorageEncrypted": True}, {"StorageEncrypted": True, "KmsKeyId": "key"}),
    "AWS::RDS::DBInstance": ({"KmsKeyId": "key"}, {"StorageEncrypted": "true", "KmsKeyId": "key"}),
    "AWS::Redshift::Cluster": ({}, {"Encrypted": True}),
    "AWS::S3::Bucket": ({}, {"BucketEncryption": {"ServerSideEncryptionConfiguration": []}}),
    "AWS::SNS::Topic": ({}, {"KmsMasterKeyId": "key"}),
    "AWS::SQS::Queue": ({}, {"SqsManagedSseEnabled": True}),
    "AWS::SecretsManager::Secret": ({}, {"KmsKeyId": "key"}),
}
DELETE = cdk.CfnDeletionPolicy.DELETE


@pytest.mark.parametrize("kind", EXAMPLES)
def test_clear_text_is_refused_and_named(kind: str) -> None:
    (error,) = errors_of(kind, EXAMPLES[kind][0], deletion_policy=DELETE, update_replace_policy=DELETE)
    assert f"{kind} is not encrypted" in error


@pytest.mark.parametrize("kind", EXAMPLES)
def test_encrypted_resources_pass(kind: str) -> None:
    assert errors_of(kind, EXAMPLES[kind][1], deletion_policy=DELETE, update_replace_policy=DELETE) == []


def test_asymmetric_keys_need_no_rotation() -> None:
    assert errors_of("AWS::KMS::Key", {"KeySpec": "RSA_2048"}) == []


def test_typed_constructs_are_seen_like_json() -> None:
    stack = cdk.Stack(cdk.App(), "Stack")
    apply_aspects(stack)
    logs.CfnLogGroup(stack, "Clear")
    logs.CfnLogGroup(stack, "Encrypted", kms_key_id="key")
    rds.CfnDBCluster(
        stack, "Cluster", storage_encrypted=True, kms_key_id="key", deletion_protection=True
    ).apply_removal_policy(cdk.RemovalPolicy.DESTROY)
    errors = _errors(stack)
    assert len(errors) == 2
    assert any("AWS::Logs::LogGroup is not encrypted: KmsKeyId is missing" in error for error in errors)
    assert any("DeletionProtection is on" in error for error in errors)


@pytest.mark.parametrize("policy", [cdk.RemovalPolicy.RETAIN, cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE])
def test_a_construct_that_outlives_its_stack_is_refused(policy: cdk.RemovalPolicy) -> None:
    stack = cdk.Stack(cdk.App(), "Stack")
    apply_aspects(stack)
    s3.Bucket(stack, "Bucket", encryption=s3.BucketEncryption.KMS_MANAGED, removal_policy=policy)
    errors = _errors(stack)
    assert errors
    assert all("AWS::S3::Bucket outlives its stack" in error for error in errors)


def test_a_database_without_a_policy_would_leave_a_snapshot() -> None:
    (error,) = errors_of("AWS::RDS::DBInstance", EXAMPLES["AWS::RDS::DBInstance"][1], update_replace_policy=DELETE)
    assert "DeletionPolicy is SNAPSHOT" in error


def test_other_types_are_deleted_by_default() -> None:
    assert errors_of("AWS::EC2::VPC", {"CidrBlock": "10.0.0.0/16"}) == []


def test_an_error_stops_synthesis() -> None:
    app = cdk.App()
    stack = cdk.Stack(app, "Stack")
    apply_aspects(stack)
    cdk.CfnResource(stack, "Foreign", type="AWS::SNS::Topic", properties={})
    messages = [message for artifact in app.synth().stacks for message in artifact.messages]
    assert [message.level for message in messages if "not encrypted" in str(message.entry.data)] == [
        cdk.cx_api.SynthesisMessageLevel.ERROR
    ]
