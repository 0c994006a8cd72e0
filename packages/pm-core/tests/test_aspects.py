"""The aspects refuse what somebody may add next year: foreign resources, unencrypted or undying."""

from collections.abc import Iterator, Mapping
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_elasticache as elasticache
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Annotations, Match

from pm_core.cdk.aspects import EncryptionAspect, apply_aspects, encrypted_with_sse_s3
from pm_core.cdk.rules.at_rest import _STORES_NOTHING, _TABLE

ANYTHING = Match.string_like_regexp(".*")
AT_REST, IN_TRANSIT = "is not encrypted", "lets data travel in clear text"
OUTLIVES, STAYS = "outlives its stack", "does not go with its stack"
DELETE = cdk.CfnDeletionPolicy.DELETE
Props = dict[str, Any]


def stack_of(kind: str, properties: Props, *others: tuple[str, Props], database_tls: bool = True) -> cdk.Stack:
    """A stack with one resource written as JSON, ``Foreign``, and others named ``Other1`` and so on."""
    stack = cdk.Stack(cdk.App(), "Stack")
    apply_aspects(stack, database_tls=database_tls)
    named = [("Foreign", kind, properties)]
    named += [(f"Other{number}", other, props) for number, (other, props) in enumerate(others, start=1)]
    for name, one, props in named:
        resource = cdk.CfnResource(stack, name, type=one, properties=props)
        resource.cfn_options.deletion_policy = resource.cfn_options.update_replace_policy = DELETE
    return stack


def errors_in(stack: cdk.Stack, construct: str = "/Stack/Foreign") -> list[str]:
    return [str(found.entry.data) for found in Annotations.from_stack(stack).find_error(construct, ANYTHING)]


def refusals(errors: list[str], phrase: str, kind: str) -> list[str]:
    return [error for error in errors if error.startswith(f"{kind} {phrase}: ")]


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
LISTENER, RULE = "AWS::ElasticLoadBalancingV2::Listener", "AWS::ElasticLoadBalancingV2::ListenerRule"
REDIRECT = [{"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "StatusCode": "HTTP_301"}}]
FORWARD = [{"Type": "forward", "TargetGroupArn": "arn"}]
MODERN = "ELBSecurityPolicy-TLS13-1-2-2021-06"
DENY = {"Effect": "Deny", "Principal": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}, "Resource": "*"}
ALLOW = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}


def tls_policy(action: str) -> Props:
    return {"Statement": [ALLOW, {**DENY, "Action": action}]}


# The same for data on its way.
IN_TRANSIT_EXAMPLES: Mapping[str, tuple[Props, Props, str]] = {
    "AWS::ApiGateway::DomainName": ({"SecurityPolicy": "TLS_1_0"}, {"SecurityPolicy": "TLS_1_2"}, "SecurityPolicy"),
    "AWS::ApiGateway::Method": (
        {"Integration": {"Uri": "http://backend"}},
        {"Integration": {"Uri": "https://backend"}},
        "Integration.Uri is http://backend",
    ),
    "AWS::ApiGatewayV2::DomainName": (
        {"DomainNameConfigurations": [{"CertificateArn": "arn"}]},
        {"DomainNameConfigurations": [{"CertificateArn": "arn", "SecurityPolicy": "TLS_1_2"}]},
        "SecurityPolicy is missing",
    ),
    "AWS::CloudFront::Distribution": (
        {"DistributionConfig": {"DefaultCacheBehavior": {"ViewerProtocolPolicy": "allow-all"}}},
        {
            "DistributionConfig": {
                "DefaultCacheBehavior": {"ViewerProtocolPolicy": "https-only"},
                "ViewerCertificate": {"AcmCertificateArn": "arn", "MinimumProtocolVersion": "TLSv1.2_2021"},
                "Origins": [{"CustomOriginConfig": {"OriginProtocolPolicy": "https-only"}}],
            }
        },
        "ViewerProtocolPolicy is allow-all",
    ),
    "AWS::DAX::Cluster": (
        {"ClusterEndpointEncryptionType": "NONE"},
        {"ClusterEndpointEncryptionType": "TLS"},
        "ClusterEndpointEncryptionType is NONE",
    ),
    "AWS::DMS::Endpoint": (
        {"EngineName": "postgres", "SslMode": "none"},
        {"EngineName": "postgres", "SslMode": "require"},
        "SslMode is none: set it to require",
    ),
    "AWS::DocDB::DBClusterParameterGroup": (
        {"Family": "docdb5.0", "Parameters": {"tls": "disabled"}},
        {"Family": "docdb5.0", "Parameters": {"tls": "enabled"}},
        "Parameters.tls is disabled",
    ),
    "AWS::ECS::TaskDefinition": (
        {"Volumes": [{"Name": "shared", "EFSVolumeConfiguration": {"FilesystemId": "fs"}}]},
        {
            "Volumes": [
                {"EFSVolumeConfiguration": {"FilesystemId": "fs", "TransitEncryption": "ENABLED"}},
                {"Name": "own"},
            ]
        },
        "EFSVolumeConfiguration.TransitEncryption is missing",
    ),
    "AWS::EFS::FileSystem": (
        {"FileSystemPolicy": {"Statement": [ALLOW]}},
        {"FileSystemPolicy": tls_policy("*")},
        "FileSystemPolicy does not deny",
    ),
    "AWS::ElastiCache::CacheCluster": ({}, {"TransitEncryptionEnabled": True}, "TransitEncryptionEnabled is missing"),
    "AWS::ElastiCache::ReplicationGroup": (
        {"TransitEncryptionEnabled": True, "TransitEncryptionMode": "preferred"},
        {"TransitEncryptionEnabled": True},
        "TransitEncryptionMode is preferred: set it to required",
    ),
    "AWS::ElasticLoadBalancing::LoadBalancer": (
        {"Listeners": [{"Protocol": "HTTPS", "InstanceProtocol": "HTTP"}]},
        {"Listeners": [{"Protocol": "HTTPS", "InstanceProtocol": "HTTPS"}]},
        "InstanceProtocol is HTTP",
    ),
    LISTENER: (
        {"Protocol": "HTTP", "DefaultActions": FORWARD},
        {"Protocol": "HTTP", "DefaultActions": REDIRECT},
        "Protocol is HTTP and DefaultActions do not redirect",
    ),
    "AWS::ElasticLoadBalancingV2::TargetGroup": (
        {"Protocol": "HTTP", "TargetType": "ip"},
        {"Protocol": "HTTPS", "TargetType": "ip"},
        "Protocol is http: set it to HTTPS",
    ),
    "AWS::MSK::Cluster": (
        {"EncryptionInfo": {"EncryptionInTransit": {"ClientBroker": "TLS_PLAINTEXT"}}},
        {"EncryptionInfo": {"EncryptionInTransit": {"ClientBroker": "TLS"}}},
        "ClientBroker is tls_plaintext",
    ),
    "AWS::MemoryDB::Cluster": ({"TLSEnabled": "false"}, {}, "TLSEnabled is false"),
    "AWS::Neptune::DBClusterParameterGroup": (
        {"Family": "neptune1.3", "Parameters": {"neptune_enforce_ssl": 0}},
        {"Family": "neptune1.3", "Parameters": {"neptune_enforce_ssl": 1}},
        "Parameters.neptune_enforce_ssl is 0",
    ),
    "AWS::OpenSearchService::Domain": (
        {"NodeToNodeEncryptionOptions": {"Enabled": True}, "DomainEndpointOptions": {"EnforceHTTPS": False}},
        {
            "NodeToNodeEncryptionOptions": {"Enabled": True},
            "DomainEndpointOptions": {"EnforceHTTPS": True, "TLSSecurityPolicy": "Policy-Min-TLS-1-2-2019-07"},
        },
        "DomainEndpointOptions.EnforceHTTPS is False",
    ),
    "AWS::RDS::DBClusterParameterGroup": (
        {"Family": "aurora-mysql8.0", "Parameters": {}},
        {"Family": "aurora-mysql8.0", "Parameters": {"require_secure_transport": "ON"}},
        "Parameters.require_secure_transport is missing",
    ),
    "AWS::RDS::DBParameterGroup": (
        {"Family": "postgres17", "Parameters": {"rds.force_ssl": "0"}},
        {"Family": "postgres17", "Parameters": {"rds.force_ssl": "1"}},
        "Parameters.rds.force_ssl is 0: set it to 1",
    ),
    "AWS::RDS::DBProxy": ({}, {"RequireTLS": True}, "RequireTLS is missing"),
    "AWS::Redshift::ClusterParameterGroup": (
        {"Parameters": [{"ParameterName": "require_ssl", "ParameterValue": "false"}]},
        {"Parameters": [{"ParameterName": "require_ssl", "ParameterValue": "true"}]},
        "Parameters do not set require_ssl",
    ),
    "AWS::RedshiftServerless::Workgroup": (
        {},
        {"ConfigParameters": [{"ParameterKey": "require_ssl", "ParameterValue": "true"}]},
        "ConfigParameters do not set require_ssl",
    ),
    "AWS::Route53::HealthCheck": (
        {"HealthCheckConfig": {"Type": "HTTP"}},
        {"HealthCheckConfig": {"Type": "HTTPS"}},
        "HealthCheckConfig.Type is http",
    ),
    "AWS::SNS::Subscription": ({"Protocol": "http"}, {"Protocol": "https"}, "Protocol is http: set it to https"),
    "AWS::Transfer::Server": ({"Protocols": ["SFTP", "FTP"]}, {"Protocols": ["SFTP"]}, "Protocols include FTP"),
    "AWS::VpcLattice::Listener": ({"Protocol": "HTTP"}, {"Protocol": "HTTPS"}, "Protocol is http: set it to HTTPS"),
}
FUNCTION_LOGS = ("AWS::Logs::LogGroup", {"LogGroupName": "/aws/lambda/one", "KmsKeyId": "key"})
# And for what would stay, with what else the good one's stack has.
LIFETIME_EXAMPLES: Mapping[str, tuple[Props, Props, list[tuple[str, Props]], str]] = {
    "AWS::Athena::WorkGroup": ({}, {"RecursiveDeleteOption": True}, [], "RecursiveDeleteOption is missing"),
    "AWS::AutoScaling::AutoScalingGroup": (
        {"DeletionProtection": "prevent-all-deletion"},
        {"DeletionProtection": "none"},
        [],
        "DeletionProtection is on",
    ),
    "AWS::Backup::BackupVault": ({"LockConfiguration": {"MinRetentionDays": 7}}, {}, [], "LockConfiguration is set"),
    "AWS::CloudTrail::EventDataStore": (
        {},
        {"TerminationProtectionEnabled": False},
        [],
        "TerminationProtectionEnabled is missing",
    ),
    "AWS::CodeBuild::Project": (
        {},
        {"LogsConfig": {"CloudWatchLogs": {"Status": "ENABLED", "GroupName": {"Ref": "Other1"}}}},
        [("AWS::Logs::LogGroup", {"KmsKeyId": "key"})],
        "LogsConfig.CloudWatchLogs.GroupName names no log group",
    ),
    "AWS::Cognito::UserPool": ({"DeletionProtection": "ACTIVE"}, {"DeletionProtection": "INACTIVE"}, [], "is on"),
    "AWS::DynamoDB::GlobalTable": (
        {"Replicas": [{"Region": "us-west-2", "DeletionProtectionEnabled": True}]},
        {"Replicas": [{"Region": "us-west-2"}]},
        [],
        "DeletionProtectionEnabled is on",
    ),
    "AWS::DynamoDB::Table": ({"DeletionProtectionEnabled": "true"}, {}, [], "DeletionProtectionEnabled is on"),
    "AWS::EC2::Instance": (
        {"BlockDeviceMappings": [{"Ebs": {"DeleteOnTermination": False}}]},
        {"BlockDeviceMappings": [{"Ebs": {"DeleteOnTermination": True}}, {"Ebs": {"VolumeSize": 8}}]},
        [],
        "Ebs.DeleteOnTermination is false",
    ),
    "AWS::ECR::Repository": ({}, {"EmptyOnDelete": True}, [], "EmptyOnDelete is missing: set it to true"),
    "AWS::ElastiCache::ServerlessCache": ({"FinalSnapshotName": "last"}, {}, [], "FinalSnapshotName is set"),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": (
        {"LoadBalancerAttributes": [{"Key": "deletion_protection.enabled", "Value": "true"}]},
        {"LoadBalancerAttributes": [{"Key": "deletion_protection.enabled", "Value": "false"}]},
        [],
        "deletion_protection.enabled",
    ),
    "AWS::Lambda::Function": (
        {"FunctionName": "one"},
        {"FunctionName": "one"},
        [FUNCTION_LOGS],
        "LoggingConfig.LogGroup names no log group",
    ),
    "AWS::QLDB::Ledger": ({}, {"DeletionProtection": False}, [], "DeletionProtection is missing: set it to false"),
    "AWS::RDS::DBInstance": (
        {"DeleteAutomatedBackups": False},
        {
            "DeleteAutomatedBackups": True,
            "DBInstanceIdentifier": "payments",
            "EnableCloudwatchLogsExports": ["postgresql"],
        },
        [("AWS::Logs::LogGroup", {"LogGroupName": "/aws/rds/instance/payments/postgresql", "KmsKeyId": "key"})],
        "DeleteAutomatedBackups is False: set it to true",
    ),
    "AWS::RedshiftServerless::Namespace": ({"FinalSnapshotName": "last"}, {}, [], "FinalSnapshotName is set"),
    "AWS::S3::Bucket": (
        {},
        {"BucketName": "logs"},
        [("Custom::EmptiedBucket", {"ServiceToken": "arn", "BucketName": {"Ref": "Foreign"}})],
        "have it emptied",
    ),
    "AWS::Synthetics::Canary": ({}, {"ProvisionedResourceCleanup": "AUTOMATIC"}, [], "ProvisionedResourceCleanup"),
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


@pytest.mark.parametrize("kind", IN_TRANSIT_EXAMPLES)
def test_clear_text_on_its_way_is_refused_and_named(kind: str) -> None:
    clear, _, named = IN_TRANSIT_EXAMPLES[kind]
    (error,) = refusals(errors_in(stack_of(kind, clear)), IN_TRANSIT, kind)
    assert named in error


@pytest.mark.parametrize("kind", IN_TRANSIT_EXAMPLES)
def test_what_speaks_tls_passes(kind: str) -> None:
    assert refusals(errors_in(stack_of(kind, IN_TRANSIT_EXAMPLES[kind][1])), IN_TRANSIT, kind) == []


@pytest.mark.parametrize("kind", LIFETIME_EXAMPLES)
def test_what_would_stay_is_refused_and_named(kind: str) -> None:
    staying, _, _, named = LIFETIME_EXAMPLES[kind]
    (error,) = refusals(errors_in(stack_of(kind, staying)), STAYS, kind)
    assert named in error


@pytest.mark.parametrize("kind", LIFETIME_EXAMPLES)
def test_what_goes_with_its_stack_passes(kind: str) -> None:
    _, going, others, _ = LIFETIME_EXAMPLES[kind]
    assert refusals(errors_in(stack_of(kind, going, *others)), STAYS, kind) == []


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


def test_types_of_no_schema_are_left_alone() -> None:
    assert errors_in(stack_of("AWS::Unheard::Of", {})) == []
    assert errors_in(stack_of("Acme::Own::Type", {})) == []
    assert errors_in(stack_of("Custom::Thing", {"ServiceToken": "arn"})) == []


@pytest.mark.parametrize(
    ("kind", "policy", "path", "action"),
    [
        ("AWS::S3::Bucket", "AWS::S3::BucketPolicy", "Bucket", "s3:*"),
        ("AWS::SNS::Topic", "AWS::SNS::TopicPolicy", "Topics", "sns:Publish"),
        ("AWS::SQS::Queue", "AWS::SQS::QueuePolicy", "Queues", "sqs:*"),
    ],
)
def test_what_aws_also_serves_over_http_needs_a_policy_that_denies_it(
    kind: str, policy: str, path: str, action: str
) -> None:
    def with_policy(target: object, document: Props) -> list[str]:
        named = target if path == "Bucket" else [target]
        stack = stack_of(kind, {}, (policy, {path: named, "PolicyDocument": document}))
        return refusals(errors_in(stack), IN_TRANSIT, kind)

    assert with_policy({"Ref": "Foreign"}, tls_policy(action)) == []
    refused = [
        refusals(errors_in(stack_of(kind, {})), IN_TRANSIT, kind),
        with_policy({"Ref": "Another"}, tls_policy(action)),
        with_policy({"Ref": "Foreign"}, {"Statement": [ALLOW]}),
        with_policy({"Ref": "Foreign"}, tls_policy("s3:GetObject")),
        with_policy({"Ref": "Foreign"}, {"Statement": [{**DENY, "Action": action, "Effect": "Allow"}]}),
        with_policy({"Ref": "Foreign"}, {"Statement": [{**DENY, "Action": action, "Principal": {"AWS": "arn"}}]}),
        with_policy({"Ref": "Foreign"}, {"Statement": [{**DENY, "Action": action, "Condition": {}}]}),
    ]
    for errors in refused:
        (error,) = errors
        assert f"no {policy} denies requests without TLS" in error


@pytest.mark.parametrize("policy", [None, "ELBSecurityPolicy-2016-08", "ELBSecurityPolicy-TLS13-1-0-2021-06"])
def test_listeners_that_take_old_tls_are_refused(policy: str | None) -> None:
    properties = {"Protocol": "HTTPS", "DefaultActions": FORWARD} | ({"SslPolicy": policy} if policy else {})
    (error,) = errors_in(stack_of(LISTENER, properties))
    assert f"SslPolicy is {policy or 'missing'}" in error


@pytest.mark.parametrize(
    "policy", [MODERN, "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09", "ELBSecurityPolicy-TLS-1-2-2017-01"]
)
def test_listeners_that_take_new_tls_pass(policy: str) -> None:
    assert errors_in(stack_of(LISTENER, {"Protocol": "HTTPS", "SslPolicy": policy, "DefaultActions": FORWARD})) == []


def test_a_rule_cannot_undo_the_redirect_of_its_listener() -> None:
    plain = (LISTENER, {"Protocol": "HTTP", "DefaultActions": REDIRECT})
    encrypted = (LISTENER, {"Protocol": "HTTPS", "SslPolicy": MODERN, "DefaultActions": FORWARD})
    rule = {"ListenerArn": {"Ref": "Other1"}, "Actions": FORWARD}
    (error,) = errors_in(stack_of(RULE, rule, plain))
    assert "Actions of a rule of an HTTP listener do not redirect" in error
    assert errors_in(stack_of(RULE, rule | {"Actions": REDIRECT}, plain)) == []
    assert errors_in(stack_of(RULE, rule, encrypted)) == []


@pytest.mark.parametrize(
    ("origin", "certificate", "named"),
    [
        ("https-only", {"CloudFrontDefaultCertificate": True}, "MinimumProtocolVersion is missing"),
        ("https-only", {"MinimumProtocolVersion": "TLSv1.1_2016"}, "MinimumProtocolVersion is TLSv1.1_2016"),
        ("match-viewer", {"MinimumProtocolVersion": "TLSv1.2_2021"}, "OriginProtocolPolicy is match-viewer"),
    ],
)
def test_distributions_are_encrypted_to_the_viewer_and_to_the_origin(
    origin: str, certificate: Props, named: str
) -> None:
    config = {
        "DefaultCacheBehavior": {"ViewerProtocolPolicy": "https-only"},
        "ViewerCertificate": certificate,
        "Origins": [{"CustomOriginConfig": {"OriginProtocolPolicy": origin}}],
    }
    (error,) = errors_in(stack_of("AWS::CloudFront::Distribution", {"DistributionConfig": config}))
    assert named in error


def test_databases_without_tls_are_let_through_and_nothing_else() -> None:
    """The rehearsal's PostgreSQL has none; the option is about exactly that."""

    def errors(kind: str, properties: Props) -> list[str]:
        return refusals(errors_in(stack_of(kind, properties, database_tls=False)), IN_TRANSIT, kind)

    for kind in ("AWS::DMS::Endpoint", "AWS::RDS::DBParameterGroup"):
        assert errors(kind, IN_TRANSIT_EXAMPLES[kind][0]) == []
    assert errors("AWS::DMS::Endpoint", {"EngineName": "mysql", "SslMode": "none"})
    assert errors("AWS::RDS::DBParameterGroup", {"Family": "mysql8.0", "Parameters": {}})
    for kind in IN_TRANSIT_EXAMPLES.keys() - {"AWS::DMS::Endpoint", "AWS::RDS::DBParameterGroup"}:
        assert errors(kind, IN_TRANSIT_EXAMPLES[kind][0]), kind


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


def test_typed_constructs_are_seen_like_json() -> None:
    stack = cdk.Stack(cdk.App(), "Stack")
    apply_aspects(stack)
    logs.CfnLogGroup(stack, "Clear")
    logs.CfnLogGroup(stack, "Encrypted", kms_key_id="key")
    elasticache.CfnServerlessCache(stack, "Cache", engine="valkey", serverless_cache_name="cache")
    rds.CfnDBCluster(
        stack, "Cluster", storage_encrypted=True, kms_key_id="key", deletion_protection=True
    ).apply_removal_policy(cdk.RemovalPolicy.DESTROY)
    assert errors_in(stack, "/Stack/Encrypted") == []
    assert "AWS::Logs::LogGroup is not encrypted: KmsKeyId is missing" in errors_in(stack, "/Stack/Clear")[0]
    assert "AWS::ElastiCache::ServerlessCache is not encrypted: KmsKeyId" in errors_in(stack, "/Stack/Cache")[0]
    assert "DeletionProtection is on" in errors_in(stack, "/Stack/Cluster")[0]


def test_constructs_that_are_right_by_cdk_pass() -> None:
    stack = cdk.Stack(cdk.App(), "Stack")
    apply_aspects(stack)
    key = kms.Key(stack, "Key", enable_key_rotation=True, removal_policy=cdk.RemovalPolicy.DESTROY)
    sns.Topic(stack, "Topic", master_key=key, enforce_ssl=True)
    sqs.Queue(stack, "Queue", encryption_master_key=key, enforce_ssl=True, removal_policy=cdk.RemovalPolicy.DESTROY)
    group = logs.LogGroup(stack, "Logs", encryption_key=key, removal_policy=cdk.RemovalPolicy.DESTROY)
    lambda_.Function(
        stack,
        "Function",
        runtime=lambda_.Runtime.PYTHON_3_14,
        handler="index.handle",
        code=lambda_.Code.from_inline("def handle(event, context): ..."),
        log_group=group,
    )
    assert errors_in(stack, "*") == []


@pytest.mark.parametrize("policy", [cdk.RemovalPolicy.RETAIN, cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE])
def test_a_construct_that_outlives_its_stack_is_refused(policy: cdk.RemovalPolicy) -> None:
    stack = cdk.Stack(cdk.App(), "Stack")
    apply_aspects(stack)
    s3.Bucket(stack, "Bucket", encryption=s3.BucketEncryption.KMS_MANAGED, removal_policy=policy)
    errors = refusals(errors_in(stack, "*"), OUTLIVES, "AWS::S3::Bucket")
    assert errors
    assert all("Set RemovalPolicy.DESTROY" in error for error in errors)


def test_a_database_without_a_policy_would_leave_a_snapshot() -> None:
    def errors(properties: Props) -> list[str]:
        stack = cdk.Stack(cdk.App(), "Stack")
        apply_aspects(stack)
        database = cdk.CfnResource(stack, "Foreign", type="AWS::RDS::DBInstance", properties=properties)
        database.cfn_options.update_replace_policy = DELETE
        return refusals(errors_in(stack), OUTLIVES, "AWS::RDS::DBInstance")

    (error,) = errors(AT_REST_EXAMPLES["AWS::RDS::DBInstance"][1])
    assert "DeletionPolicy is SNAPSHOT" in error
    assert errors({"DBClusterIdentifier": "cluster"}) == []  # its storage is the cluster's


def test_other_types_are_deleted_by_default() -> None:
    stack = cdk.Stack(cdk.App(), "Stack")
    apply_aspects(stack)
    cdk.CfnResource(stack, "Foreign", type="AWS::EC2::VPC", properties={"CidrBlock": "10.0.0.0/16"})
    assert errors_in(stack, "*") == []


def test_a_protected_stack_is_refused() -> None:
    stack = cdk.Stack(cdk.App(), "Stack", termination_protection=True)
    apply_aspects(stack)
    (error,) = errors_in(stack, "/Stack")
    assert "termination_protection is on" in error


def test_locked_objects_would_keep_their_bucket() -> None:
    emptied = ("Custom::EmptiedBucket", {"ServiceToken": "arn", "BucketName": {"Ref": "Foreign"}})
    stack = stack_of("AWS::S3::Bucket", {"ObjectLockEnabled": True}, emptied)
    (error,) = refusals(errors_in(stack), STAYS, "AWS::S3::Bucket")
    assert "ObjectLockEnabled is on" in error


def test_exported_logs_need_a_declared_group() -> None:
    kind = "AWS::RDS::DBInstance"
    stack = stack_of(kind, {"DBInstanceIdentifier": "payments", "EnableCloudwatchLogsExports": ["postgresql"]})
    (error,) = refusals(errors_in(stack), STAYS, kind)
    assert "/aws/rds/instance/<DBInstanceIdentifier>/postgresql" in error


@pytest.mark.parametrize("nested", [False, True])
def test_an_error_stops_synthesis(nested: bool) -> None:
    app = cdk.App()
    stack = cdk.Stack(app, "Stack")
    apply_aspects(stack)
    cdk.CfnResource(
        cdk.NestedStack(stack, "Nested") if nested else stack, "Foreign", type="AWS::SNS::Topic", properties={}
    )
    found = [entry for entry in messages(app) if AT_REST in str(entry.entry.data)]
    assert [entry.level for entry in found] == [cdk.cx_api.SynthesisMessageLevel.ERROR]


def messages(app: cdk.App) -> Iterator[cdk.cx_api.SynthesisMessage]:
    for artifact in app.synth().stacks:
        yield from artifact.messages
