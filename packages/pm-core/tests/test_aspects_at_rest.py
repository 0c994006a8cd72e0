"""The aspects refuse data in clear text, of types that nobody has used yet, too."""

from collections.abc import Mapping

import aws_cdk as cdk
import pytest
from aspects_rig import AT_REST, Props, errors_in, refusals, stack_of
from aws_cdk import aws_s3 as s3

from pm_core.cdk.aspects import EncryptionAspect, encrypted_with_sse_s3
from pm_core.cdk.rules.at_rest import _STORES_NOTHING, _TABLE

# One that holds data in clear text, one that does not, and what the error names, of each type. The types below the
# comment are in no table: the schema of the installed CDK alone tells that they can be encrypted.
AT_REST_EXAMPLES: Mapping[str, tuple[Props, Props, str]] = {
    "AWS::Athena::WorkGroup": (
        {},
        {
            "WorkGroupConfiguration": {
                "ResultConfiguration": {"EncryptionConfiguration": {"EncryptionOption": "SSE_KMS"}}
            }
        },
        "WorkGroupConfiguration.ResultConfiguration.EncryptionConfiguration is missing",
    ),
    "AWS::CloudTrail::Trail": ({}, {"KMSKeyId": "key"}, "KmsKeyId is missing"),
    "AWS::CodePipeline::Pipeline": (
        {"ArtifactStore": {"Type": "S3"}},
        {"ArtifactStore": {"Type": "S3", "EncryptionKey": {"Id": "key", "Type": "KMS"}}},
        "ArtifactStore.EncryptionKey is missing",
    ),
    "AWS::DMS::ReplicationInstance": ({}, {"KmsKeyId": "key"}, "KmsKeyId is missing"),
    "AWS::DataSync::LocationSMB": ({}, {"CustomSecretConfig": {"SecretArn": "arn"}}, "CmkSecretConfig is missing"),
    "AWS::DocDB::DBCluster": (
        {"KmsKeyId": "key"},
        {"KmsKeyId": "key", "StorageEncrypted": True},
        "StorageEncrypted is missing",
    ),
    "AWS::DynamoDB::Table": (
        {"SSESpecification": {"SSEEnabled": False}},
        {"SSESpecification": {"SSEEnabled": True}},
        "SSESpecification.SSEEnabled is False",
    ),
    "AWS::EC2::Instance": (
        {"ImageId": "ami-1"},
        {"ImageId": "ami-1", "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True}}]},
        "BlockDeviceMappings is missing",
    ),
    "AWS::EC2::LaunchTemplate": (
        {"LaunchTemplateData": {"ImageId": "ami-1", "BlockDeviceMappings": [{"Ebs": {"VolumeSize": 8}}]}},
        {"LaunchTemplateData": {"ImageId": "ami-1", "BlockDeviceMappings": [{"Ebs": {"Encrypted": True}}]}},
        "LaunchTemplateData.BlockDeviceMappings.Ebs.Encrypted is missing",
    ),
    "AWS::EC2::Volume": ({"Encrypted": False}, {"Encrypted": True}, "Encrypted is False"),
    "AWS::ECR::Repository": (
        {"EncryptionConfiguration": {"EncryptionType": "AES256"}},
        {"EncryptionConfiguration": {"EncryptionType": "KMS"}},
        "EncryptionConfiguration.EncryptionType is AES256",
    ),
    "AWS::EFS::FileSystem": ({}, {"Encrypted": True}, "Encrypted is missing"),
    "AWS::EMR::Cluster": ({"LogEncryptionKmsKeyId": "key"}, {"SecurityConfiguration": "name"}, "SecurityConfiguration"),
    "AWS::ElastiCache::ReplicationGroup": ({}, {"AtRestEncryptionEnabled": True}, "AtRestEncryptionEnabled is missing"),
    "AWS::Glue::Job": ({}, {"SecurityConfiguration": "name"}, "SecurityConfiguration is missing"),
    "AWS::KMS::Key": ({"EnableKeyRotation": False}, {"EnableKeyRotation": True}, "EnableKeyRotation is False"),
    "AWS::Kinesis::Stream": (
        {},
        {"StreamEncryption": {"EncryptionType": "KMS", "KeyId": "key"}},
        "StreamEncryption.KeyId is missing",
    ),
    "AWS::KinesisFirehose::DeliveryStream": (
        {},
        {"KinesisStreamSourceConfiguration": {"KinesisStreamARN": "arn", "RoleARN": "arn"}},
        "DeliveryStreamEncryptionConfigurationInput is missing",
    ),
    "AWS::Lambda::Function": (
        {"Environment": {"Variables": {"TOKEN": "x"}}},
        {"Environment": {"Variables": {"TOKEN": "x"}}, "KmsKeyArn": "key"},
        "KmsKeyArn is missing",
    ),
    "AWS::Logs::LogGroup": ({}, {"KmsKeyId": "key"}, "KmsKeyId is missing"),
    "AWS::MSK::Cluster": (
        {"EncryptionInfo": {"EncryptionInTransit": {"ClientBroker": "TLS"}}},
        {"EncryptionInfo": {"EncryptionAtRest": {"DataVolumeKMSKeyId": "key"}}},
        "EncryptionInfo.EncryptionAtRest.DataVolumeKMSKeyId is missing",
    ),
    "AWS::OpenSearchService::Domain": (
        {"EncryptionAtRestOptions": {"Enabled": False}},
        {"EncryptionAtRestOptions": {"Enabled": "true"}},
        "EncryptionAtRestOptions.Enabled is False",
    ),
    "AWS::RDS::DBCluster": ({"StorageEncrypted": True}, {"StorageEncrypted": True, "KmsKeyId": "key"}, "KmsKeyId"),
    "AWS::RDS::DBInstance": (
        {"StorageEncrypted": True, "KmsKeyId": "key", "EnablePerformanceInsights": True},
        {"StorageEncrypted": "true", "KmsKeyId": "key"},
        "PerformanceInsightsKmsKeyId is missing",
    ),
    "AWS::Redshift::Cluster": ({"KmsKeyId": "key"}, {"Encrypted": True, "KmsKeyId": "key"}, "Encrypted is missing"),
    "AWS::S3::Bucket": (
        {
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
            }
        },
        {
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]
            }
        },
        "ServerSideEncryptionByDefault.SSEAlgorithm is AES256",
    ),
    "AWS::SNS::Topic": ({}, {"KmsMasterKeyId": "key"}, "KmsMasterKeyId is missing"),
    "AWS::SQS::Queue": ({}, {"SqsManagedSseEnabled": True}, "KmsMasterKeyId is missing"),
    "AWS::SecretsManager::Secret": ({}, {"KmsKeyId": "key"}, "KmsKeyId is missing"),
    "AWS::WorkSpaces::Workspace": (
        {"RootVolumeEncryptionEnabled": True},
        {"RootVolumeEncryptionEnabled": True, "UserVolumeEncryptionEnabled": True},
        "UserVolumeEncryptionEnabled is missing",
    ),
    # In no table.
    "AWS::APS::Workspace": ({}, {"KmsKeyArn": "key"}, "KmsKeyArn is missing"),
    "AWS::AmazonMQ::Broker": (
        {},
        {"EncryptionOptions": {"UseAwsOwnedKey": False, "KmsKeyId": "key"}},
        "EncryptionOptions is missing or off",
    ),
    "AWS::AppRunner::Service": (
        {},
        {"EncryptionConfiguration": {"KmsKey": "key"}},
        "EncryptionConfiguration is missing",
    ),
    "AWS::Backup::BackupVault": ({}, {"EncryptionKeyArn": "key"}, "EncryptionKeyArn is missing"),
    "AWS::Bedrock::Agent": ({}, {"CustomerEncryptionKeyArn": "key"}, "CustomerEncryptionKeyArn is missing"),
    "AWS::Cassandra::Table": (
        {},
        {"EncryptionSpecification": {"EncryptionType": "CUSTOMER_MANAGED_KMS_KEY", "KmsKeyIdentifier": "key"}},
        "EncryptionSpecification is missing",
    ),
    "AWS::CodeArtifact::Domain": ({}, {"EncryptionKey": "key"}, "EncryptionKey is missing"),
    "AWS::DAX::Cluster": (
        {"SSESpecification": {"SSEEnabled": False}},
        {"SSESpecification": {"SSEEnabled": True}},
        "SSESpecification.SSEEnabled is False",
    ),
    "AWS::DocDBElastic::Cluster": ({}, {"KmsKeyId": "key"}, "KmsKeyId is missing"),
    "AWS::ECS::Service": (
        {"VolumeConfigurations": [{"Name": "data", "ManagedEBSVolume": {"RoleArn": "arn", "Encrypted": False}}]},
        {"VolumeConfigurations": [{"Name": "data", "ManagedEBSVolume": {"RoleArn": "arn", "Encrypted": True}}]},
        "VolumeConfigurations.ManagedEbsVolume.Encrypted is false",
    ),
    "AWS::ECS::Cluster": (
        {"Configuration": {"ExecuteCommandConfiguration": {"LogConfiguration": {"S3BucketName": "bucket"}}}},
        {
            "Configuration": {
                "ExecuteCommandConfiguration": {
                    "LogConfiguration": {"S3BucketName": "bucket", "S3EncryptionEnabled": True}
                }
            }
        },
        "LogConfiguration.S3EncryptionEnabled is missing",
    ),
    "AWS::EC2::SpotFleet": (
        {"SpotFleetRequestConfigData": {"LaunchSpecifications": [{"BlockDeviceMappings": [{"Ebs": {}}]}]}},
        {
            "SpotFleetRequestConfigData": {
                "LaunchSpecifications": [{"BlockDeviceMappings": [{"Ebs": {"Encrypted": True}}]}]
            }
        },
        "LaunchSpecifications.BlockDeviceMappings.Ebs.Encrypted is missing",
    ),
    "AWS::EKS::Cluster": (
        {},
        {"EncryptionConfig": [{"Provider": {"KeyArn": "key"}, "Resources": ["secrets"]}]},
        "EncryptionConfig is missing",
    ),
    "AWS::Events::EventBus": ({}, {"KmsKeyIdentifier": "key"}, "KmsKeyIdentifier is missing"),
    "AWS::FSx::FileSystem": ({}, {"KmsKeyId": "key"}, "KmsKeyId is missing"),
    "AWS::HealthLake::FHIRDatastore": (
        {},
        {"SseConfiguration": {"KmsEncryptionConfig": {"CmkType": "CUSTOMER_MANAGED_KMS_KEY", "KmsKeyId": "key"}}},
        "SseConfiguration is missing",
    ),
    "AWS::KinesisVideo::Stream": ({}, {"KmsKeyId": "key"}, "KmsKeyId is missing"),
    "AWS::MWAA::Environment": ({}, {"KmsKey": "key"}, "KmsKey is missing"),
    "AWS::MemoryDB::Cluster": ({}, {"KmsKeyId": "key"}, "KmsKeyId is missing"),
    "AWS::NeptuneGraph::Graph": ({}, {"KmsKeyIdentifier": "key"}, "KmsKeyIdentifier is missing"),
    "AWS::OpenSearchServerless::Collection": ({}, {"EncryptionConfig": {"KmsKeyArn": "key"}}, "EncryptionConfig"),
    "AWS::RDS::GlobalCluster": ({}, {"StorageEncrypted": True}, "StorageEncrypted is missing"),
    "AWS::SageMaker::NotebookInstance": ({}, {"KmsKeyId": "key"}, "KmsKeyId is missing"),
    "AWS::Scheduler::Schedule": ({}, {"KmsKeyArn": "key"}, "KmsKeyArn is missing"),
    "AWS::StepFunctions::StateMachine": (
        {},
        {"EncryptionConfiguration": {"Type": "CUSTOMER_MANAGED_KMS_KEY", "KmsKeyId": "key"}},
        "EncryptionConfiguration is missing",
    ),
    "AWS::Timestream::Database": ({}, {"KmsKeyId": "key"}, "KmsKeyId is missing"),
}


def test_more_types_are_shown_than_are_in_the_table() -> None:
    assert len(AT_REST_EXAMPLES) > 50
    assert len(AT_REST_EXAMPLES.keys() - _TABLE.keys()) > 20


@pytest.mark.parametrize("kind", AT_REST_EXAMPLES)
def test_data_in_clear_text_is_refused_and_named(kind: str) -> None:
    clear, _, named = AT_REST_EXAMPLES[kind]
    (error,) = refusals(errors_in(stack_of(kind, clear)), AT_REST, kind)
    assert named in error
    assert "set it" in error


@pytest.mark.parametrize("kind", AT_REST_EXAMPLES)
def test_encrypted_resources_pass(kind: str) -> None:
    assert refusals(errors_in(stack_of(kind, AT_REST_EXAMPLES[kind][1])), AT_REST, kind) == []


@pytest.mark.parametrize("kind", _STORES_NOTHING)
def test_types_that_store_nothing_pass(kind: str) -> None:
    assert refusals(errors_in(stack_of(kind, {})), AT_REST, kind) == []


def test_asymmetric_keys_need_no_rotation() -> None:
    assert errors_in(stack_of("AWS::KMS::Key", {"KeySpec": "RSA_2048"})) == []


def test_a_switch_that_disables_encryption_is_refused() -> None:
    kind, artifacts = "AWS::CodeBuild::Project", {"Type": "S3", "EncryptionDisabled": True}
    (error,) = refusals(errors_in(stack_of(kind, {"EncryptionKey": "key", "Artifacts": artifacts})), AT_REST, kind)
    assert "Artifacts.EncryptionDisabled is true: set it to false" in error


@pytest.mark.parametrize("value", ["NONE", "DISABLED", False, "false"])
@pytest.mark.parametrize("key", [{}, {"KmsKeyId": "key"}])
def test_a_configuration_that_says_no_is_none(value: object, key: Props) -> None:
    kind = "AWS::Kendra::Index"
    stack = stack_of(kind, {"ServerSideEncryptionConfiguration": {"EncryptionMode": value, **key}})
    assert refusals(errors_in(stack), AT_REST, kind)


def test_what_is_known_at_deployment_only_is_taken_for_encrypted() -> None:
    kind = "AWS::FSx::FileSystem"
    assert refusals(errors_in(stack_of(kind, {"KmsKeyId": {"Ref": "AWS::NoValue"}})), AT_REST, kind) == []


def test_one_bucket_can_be_let_off_customer_keys_with_a_reason() -> None:
    """AWS delivers access logs to SSE-S3 buckets only; without any encryption such a bucket is refused, too."""
    stack = cdk.Stack(cdk.App(), "Stack")
    cdk.Aspects.of(stack).add(EncryptionAspect())
    for name, encryption in (("Logs", s3.BucketEncryption.S3_MANAGED), ("Plain", s3.BucketEncryption.UNENCRYPTED)):
        bucket = s3.Bucket(stack, name, encryption=encryption, enforce_ssl=True)
        encrypted_with_sse_s3(bucket.node.default_child, reason="AWS delivers to nothing else")
    assert errors_in(stack, "/Stack/Logs/Resource") == []
    (error,) = errors_in(stack, "/Stack/Plain/Resource")
    assert "BucketEncryption is missing" in error
