"""The template of PaymentDatabase, DatabaseRoles and TransactionLogs."""

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk.assertions import Match, Template

from pm_data import (
    DatabasePropsError,
    DatabaseRoles,
    DatabaseRolesProps,
    DataKey,
    LogsPropsError,
    PaymentDatabase,
    PaymentDatabaseProps,
    TransactionLogs,
    TransactionLogsProps,
    engine_version,
)

CONTEXT = json.loads((Path(__file__).parents[3] / "cdk.json").read_text())["context"]
HERE = {"environment": "source", "suffix": "t1"}


def database_props(stack: cdk.Stack, key: DataKey, **changed: Any) -> PaymentDatabaseProps:
    return PaymentDatabaseProps(
        **HERE
        | {
            "key": key,
            "vpc": ec2.Vpc.from_vpc_attributes(stack, "Vpc", vpc_id="vpc-0a1b2c3d", availability_zones=["a", "b"]),
            "subnet_ids": ("subnet-0a1b2c31", "subnet-0a1b2c32"),
            "security_group": ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-0a1b2c3d", mutable=False),
            "engine_version": "17.6",
        }
        | changed
    )


def new_stack() -> tuple[cdk.Stack, DataKey]:
    stack = cdk.Stack(cdk.App(context=CONTEXT), "data-source", env=cdk.Environment(region="us-east-1"))
    return stack, DataKey(stack, "Key", **HERE)


@pytest.fixture(scope="module")
def template() -> Template:
    stack, key = new_stack()
    props = database_props(stack, key)
    database = PaymentDatabase(stack, "Database", props=props)
    DatabaseRoles(
        stack,
        "Roles",
        props=DatabaseRolesProps(
            **HERE,
            key=key,
            vpc=props.vpc,
            subnet_ids=("subnet-0a1b2c33", "subnet-0a1b2c34"),
            database_security_group_id="sg-0a1b2c3d",
            master_secret=database.master_secret,
            secrets=database.secrets,
            ssl_mode="verify-full",
        ),
    )
    TransactionLogs(stack, "TransactionLogs", props=TransactionLogsProps(**HERE, key=key))
    return Template.from_stack(stack)


def found(template: Template, kind: str) -> dict[str, Any]:
    resources: dict[str, Any] = template.find_resources(kind)
    return resources


KEY = {"Fn::GetAtt": [Match.string_like_regexp("^Key"), "Arn"]}


def test_database_is_what_the_requirement_says(template: Template) -> None:
    template.has_resource_properties(
        "AWS::RDS::DBInstance",
        {
            "DBInstanceClass": "db.r5.large",
            "AllocatedStorage": "100",
            "StorageType": "gp3",
            "Engine": "postgres",
            "EngineVersion": "17.6",
            "StorageEncrypted": True,
            "KmsKeyId": KEY,
            "PubliclyAccessible": False,
            "MultiAZ": True,
            "DBInstanceIdentifier": "database-source-t1",
        },
    )


def test_database_can_feed_logical_replication(template: Template) -> None:
    template.has_resource_properties(
        "AWS::RDS::DBParameterGroup",
        {
            "Family": "postgres17",
            "Parameters": Match.object_like(
                {
                    "rds.logical_replication": "1",
                    "max_replication_slots": "20",
                    "max_wal_senders": "20",
                    "wal_sender_timeout": "60000",
                }
            ),
        },
    )


def test_a_stopped_replication_cannot_fill_the_disk(template: Template) -> None:
    group = next(iter(found(template, "AWS::RDS::DBParameterGroup").values()))
    mebibytes = int(group["Properties"]["Parameters"]["max_slot_wal_keep_size"])
    assert mebibytes == 25 * 1024


@pytest.mark.parametrize(("require_tls", "force_ssl"), [(True, "1"), (False, "0")])
def test_server_refuses_clear_text_unless_clients_are_set_to_it(require_tls: bool, force_ssl: str) -> None:
    stack, key = new_stack()
    PaymentDatabase(stack, "Database", props=database_props(stack, key, require_tls=require_tls))
    Template.from_stack(stack).has_resource_properties(
        "AWS::RDS::DBParameterGroup", {"Parameters": Match.object_like({"rds.force_ssl": force_ssl})}
    )


def test_database_can_be_restored_to_a_point_in_time_and_leaves_nothing_behind(template: Template) -> None:
    template.has_resource(
        "AWS::RDS::DBInstance",
        {
            "Properties": {
                "BackupRetentionPeriod": 14,
                "DeleteAutomatedBackups": True,
                "DeletionProtection": False,
            },
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Delete",
        },
    )


def test_stateful_resources_keep_their_logical_ids(template: Template) -> None:
    assert list(found(template, "AWS::RDS::DBInstance")) == ["DatabaseInstanceAA8A5FDE"]
    assert list(found(template, "AWS::S3::Bucket")) == ["TransactionLogsBucket2308B883"]
    assert list(found(template, "AWS::KMS::Key")) == ["Key961B73FD"]


def test_exported_logs_are_declared_encrypted_and_before_the_database(template: Template) -> None:
    instance = next(iter(found(template, "AWS::RDS::DBInstance").values()))
    groups = {
        logical_id: group["Properties"]["LogGroupName"]
        for logical_id, group in found(template, "AWS::Logs::LogGroup").items()
    }
    for log in instance["Properties"]["EnableCloudwatchLogsExports"]:
        logical_id = next(one for one, name in groups.items() if name == f"/aws/rds/instance/database-source-t1/{log}")
        assert logical_id in instance["DependsOn"]


def test_every_log_group_is_encrypted_kept_for_a_time_and_goes_with_the_stack(template: Template) -> None:
    template.all_resources(
        "AWS::Logs::LogGroup",
        {"Properties": {"KmsKeyId": KEY, "RetentionInDays": 30}, "DeletionPolicy": "Delete"},
    )


def test_each_user_has_a_generated_secret_that_is_attached(template: Template) -> None:
    secrets = found(template, "AWS::SecretsManager::Secret")
    users = {
        json.loads(secret["Properties"]["GenerateSecretString"]["SecretStringTemplate"])["username"]: logical_id
        for logical_id, secret in secrets.items()
    }
    assert set(users) == {"pmmaster", "pm_app", "pm_dms", "pm_cutover"}
    attached = {
        attachment["Properties"]["SecretId"]["Ref"]
        for attachment in found(template, "AWS::SecretsManager::SecretTargetAttachment").values()
    }
    assert attached == set(users.values())
    template.all_resources(
        "AWS::SecretsManager::Secret",
        {
            "Properties": {
                "KmsKeyId": KEY,
                "GenerateSecretString": Match.object_like({"PasswordLength": 32, "ExcludePunctuation": True}),
            },
            "DeletionPolicy": "Delete",
        },
    )


def test_no_password_is_in_the_template(template: Template) -> None:
    instance = next(iter(found(template, "AWS::RDS::DBInstance").values()))
    password = json.dumps(instance["Properties"]["MasterUserPassword"])
    assert "{{resolve:secretsmanager:" in password
    assert "SecretString" not in json.dumps(
        [secret["Properties"].get("SecretString") for secret in found(template, "AWS::SecretsManager::Secret").values()]
    )


def test_roles_wait_for_complete_secrets_and_an_open_way(template: Template) -> None:
    resource = next(iter(found(template, "Custom::DatabaseRoles").values()))
    attachments = set(found(template, "AWS::SecretsManager::SecretTargetAttachment"))
    properties = resource["Properties"]
    read = {properties["MasterSecretArn"]["Ref"], *(arn["Ref"] for arn in properties["RoleSecretArns"].values())}
    assert read == attachments
    assert set(properties["RoleSecretArns"]) == {"pm_app", "pm_dms", "pm_cutover"}
    assert properties["SslMode"] == "verify-full"
    assert set(found(template, "AWS::EC2::SecurityGroupIngress")) <= set(resource["DependsOn"])


def test_roles_function_may_read_its_secrets_and_nothing_else(template: Template) -> None:
    function = next(
        one for one in found(template, "AWS::Lambda::Function").values() if "VpcConfig" in one["Properties"]
    )
    role = function["Properties"]["Role"]["Fn::GetAtt"][0]
    actions = {
        action
        for policy in found(template, "AWS::IAM::Policy").values()
        if {"Ref": role} in policy["Properties"]["Roles"]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        for action in statement["Action"]
    }
    assert actions == {
        "secretsmanager:GetSecretValue",
        "secretsmanager:DescribeSecret",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "ec2:CreateNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:DeleteNetworkInterface",
        "ec2:AssignPrivateIpAddresses",
        "ec2:UnassignPrivateIpAddresses",
    }
    assert "ManagedPolicyArns" not in template.to_json()["Resources"][role]["Properties"]


def test_database_is_opened_to_the_roles_function_by_group(template: Template) -> None:
    template.has_resource_properties(
        "AWS::EC2::SecurityGroupIngress",
        {
            "GroupId": "sg-0a1b2c3d",
            "SourceSecurityGroupId": {"Fn::GetAtt": [Match.string_like_regexp("^RolesGroup"), "GroupId"]},
            "FromPort": 5432,
            "ToPort": 5432,
        },
    )


def test_bucket_is_versioned_encrypted_private_and_tidies_itself(template: Template) -> None:
    template.has_resource(
        "AWS::S3::Bucket",
        {
            "Properties": {
                "BucketName": {"Fn::Join": ["", ["bucket-transaction-logs-source-t1-", {"Ref": "AWS::AccountId"}]]},
                "VersioningConfiguration": {"Status": "Enabled"},
                "BucketEncryption": {
                    "ServerSideEncryptionConfiguration": [
                        Match.object_like(
                            {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}}
                        )
                    ]
                },
                "PublicAccessBlockConfiguration": {
                    "BlockPublicAcls": True,
                    "BlockPublicPolicy": True,
                    "IgnorePublicAcls": True,
                    "RestrictPublicBuckets": True,
                },
                "LifecycleConfiguration": {
                    "Rules": [
                        Match.object_like(
                            {
                                "ExpirationInDays": 2557,
                                "Transitions": [{"StorageClass": "GLACIER_IR", "TransitionInDays": 90}],
                                "NoncurrentVersionExpiration": {"NoncurrentDays": 90},
                            }
                        )
                    ]
                },
            },
            "DeletionPolicy": "Delete",
        },
    )


@pytest.mark.parametrize(
    "condition",
    [{"Bool": {"aws:SecureTransport": "false"}}, {"NumericLessThan": {"s3:TlsVersion": 1.2}}],
)
def test_bucket_takes_recent_tls_only(template: Template, condition: dict[str, Any]) -> None:
    template.has_resource_properties(
        "AWS::S3::BucketPolicy",
        {
            "PolicyDocument": {
                "Statement": Match.array_with(
                    [Match.object_like({"Effect": "Deny", "Principal": {"AWS": "*"}, "Condition": condition})]
                )
            }
        },
    )


def test_bucket_is_emptied_while_its_policy_and_permission_still_stand(template: Template) -> None:
    resource = next(iter(found(template, "Custom::EmptiedBucket").values()))
    assert resource["Properties"]["BucketName"] == {"Ref": "TransactionLogsBucket2308B883"}
    assert set(found(template, "AWS::S3::BucketPolicy")) < set(resource["DependsOn"])
    assert any("MayEmpty" in dependency for dependency in resource["DependsOn"])


def test_functions_are_python_and_named(template: Template) -> None:
    functions = found(template, "AWS::Lambda::Function").values()
    assert {function["Properties"]["FunctionName"] for function in functions} == {
        "function-database-roles-source-t1",
        "function-empty-bucket-source-t1",
    }
    assert all(function["Properties"]["Runtime"].startswith("python") for function in functions)


def test_nothing_is_exported(template: Template) -> None:
    assert "Export" not in template.to_json().get("Outputs", {})


def test_engine_version_is_checked_against_what_cdk_knows() -> None:
    assert engine_version("17.6").postgres_full_version == "17.6"
    with pytest.raises(DatabasePropsError, match=r"18\.99 is unknown .*use one of 18\.1"):
        engine_version("18.99")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"subnet_ids": ("subnet-0a1b2c31",)}, "two zones"),
        ({"storage_gib": 10}, "20 to 65536"),
        ({"backup_days": 0}, "1 to 35"),
    ],
)
def test_database_props_out_of_limits_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(DatabasePropsError, match=message):
        database_props(*new_stack(), **changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"archive_after_days": 29}, "30 or more"),
        ({"expire_after_days": 90}, "more than archive_after_days"),
        ({"old_versions_days": 0}, "1 or more"),
    ],
)
def test_log_props_out_of_limits_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(LogsPropsError, match=message):
        TransactionLogsProps(**HERE, key=new_stack()[1], **changed)
