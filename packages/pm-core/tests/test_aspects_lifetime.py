"""The aspects refuse what would stay when its stack goes."""

from collections.abc import Mapping

import aws_cdk as cdk
import pytest
from aspects_rig import DELETE, OUTLIVES, STAYS, Props, errors_in, refusals, stack_of
from aws_cdk import aws_s3 as s3

from pm_core.cdk.aspects import apply_aspects

FUNCTION_LOGS = ("AWS::Logs::LogGroup", {"LogGroupName": "/aws/lambda/one", "KmsKeyId": "key"})

# Of each type one that would stay, one that goes, what else the good one's stack has, and what the error names.
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


@pytest.mark.parametrize("kind", LIFETIME_EXAMPLES)
def test_what_would_stay_is_refused_and_named(kind: str) -> None:
    staying, _, _, named = LIFETIME_EXAMPLES[kind]
    (error,) = refusals(errors_in(stack_of(kind, staying)), STAYS, kind)
    assert named in error


@pytest.mark.parametrize("kind", LIFETIME_EXAMPLES)
def test_what_goes_with_its_stack_passes(kind: str) -> None:
    _, going, others, _ = LIFETIME_EXAMPLES[kind]
    assert refusals(errors_in(stack_of(kind, going, *others)), STAYS, kind) == []


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

    (error,) = errors({"KmsKeyId": "key", "StorageEncrypted": True})
    assert "DeletionPolicy is Snapshot" in error
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
