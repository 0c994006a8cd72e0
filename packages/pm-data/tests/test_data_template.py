"""The template of PaymentDatabase, its secrets with their rotation, and DatabaseRoles."""

import json
import string
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk.assertions import Match, Template

from pm_core.cdk import CustomerKey
from pm_data import (
    ALTERNATING_USERS,
    DatabasePropsError,
    DatabaseRoles,
    DatabaseRolesProps,
    PaymentDatabase,
    PaymentDatabaseProps,
    SecretRotation,
    SecretRotationProps,
    engine_version,
)

CONTEXT = json.loads((Path(__file__).parents[3] / "cdk.json").read_text())["context"]
HERE = {"environment": "source", "suffix": "t1"}
SUBNETS = ("subnet-0a1b2c33", "subnet-0a1b2c34")


def database_props(stack: cdk.Stack, key: CustomerKey, **changed: Any) -> PaymentDatabaseProps:
    return PaymentDatabaseProps(
        **HERE
        | {
            "key": key,
            "vpc": ec2.Vpc.from_vpc_attributes(stack, "Vpc", vpc_id="vpc-0a1b2c3d", availability_zones=["a", "b"]),
            "subnet_ids": ("subnet-0a1b2c31", "subnet-0a1b2c32"),
            "security_group": ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-0a1b2c3d", mutable=False),
            "engine_version": "17.9",
        }
        | changed
    )


def new_stack() -> tuple[cdk.Stack, CustomerKey]:
    stack = cdk.Stack(cdk.App(context=CONTEXT), "data-source", env=cdk.Environment(region="us-east-1"))
    return stack, CustomerKey(stack, "Key", **HERE, qualifier="data", description="Payment data")


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
            subnet_ids=SUBNETS,
            security_group=ec2.SecurityGroup.from_security_group_id(stack, "Functions", "sg-0a1b2c3e", mutable=False),
            master_secret=database.master_secret,
            secrets=database.secrets,
            ssl_mode="verify-full",
        ),
    )
    for username, secret in {"pmmaster": database.master_secret, **database.secrets}.items():
        SecretRotation(
            stack,
            f"Rotation{username}",
            props=SecretRotationProps(
                **HERE,
                username=username,
                secret=secret,
                master_secret=database.master_secret if username in ALTERNATING_USERS else None,
                key=key,
                subnet_ids=SUBNETS,
                security_group_id="sg-0a1b2c3e",
                log_retention_days=30,
            ),
        )
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
            "EngineVersion": "17.9",
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
                    "max_connections": "1000",
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


def content(template_string: Any) -> dict[str, str]:
    """A secret's first content, with ``TOKEN`` for what CloudFormation fills in."""
    if isinstance(template_string, dict):
        separator, parts = template_string["Fn::Join"]
        template_string = separator.join(part if isinstance(part, str) else "TOKEN" for part in parts)
    parsed: dict[str, str] = json.loads(template_string)
    return parsed


def test_each_user_has_a_generated_secret_that_is_attached(template: Template) -> None:
    secrets = found(template, "AWS::SecretsManager::Secret")
    users = {
        content(secret["Properties"]["GenerateSecretString"]["SecretStringTemplate"])["username"]: logical_id
        for logical_id, secret in secrets.items()
    }
    assert set(users) == {"pmmaster", "pm_app", "pm_dms", "pm_cutover", "pm_status"}
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


def test_a_rotation_finds_characters_of_each_kind(template: Template) -> None:
    """AWS's function asks for some of each kind; Secrets Manager refuses when all of one are excluded."""
    for schedule in found(template, "AWS::SecretsManager::RotationSchedule").values():
        excluded = set(schedule["Properties"]["HostedRotationLambda"]["ExcludeCharacters"])
        for kind in (string.ascii_lowercase, string.ascii_uppercase, string.digits, string.punctuation):
            assert set(kind) - excluded
        assert set(",;:+%&=?@/'\"\\{}") <= excluded  # they mean something in DMS's connection strings


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
    assert set(properties["RoleSecretArns"]) == {"pm_app", "pm_dms", "pm_cutover", "pm_status"}
    assert properties["SslMode"] == "verify-full"


def test_roles_function_may_read_its_secrets_and_nothing_else(template: Template) -> None:
    function = next(
        one for one in found(template, "AWS::Lambda::Function").values() if "VpcConfig" in one["Properties"]
    )
    role = function["Properties"]["Role"]["Fn::GetAtt"][0]
    statements = [
        statement
        for policy in found(template, "AWS::IAM::ManagedPolicy").values()
        if {"Ref": role} in policy["Properties"]["Roles"]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]
    assert {statement["Sid"]: statement["Action"] for statement in statements} == {
        "ReadSecrets": "secretsmanager:GetSecretValue",
        "DecryptSecrets": "kms:Decrypt",
        "Log": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Interfaces": [
            "ec2:AssignPrivateIpAddresses",
            "ec2:CreateNetworkInterface",
            "ec2:DeleteNetworkInterface",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSubnets",
            "ec2:UnassignPrivateIpAddresses",
        ],
    }
    assert {statement["Sid"] for statement in statements if statement["Resource"] == "*"} == {"Interfaces"}


def test_every_credential_is_rotated_every_30_days(template: Template) -> None:
    schedules = [one["Properties"] for one in found(template, "AWS::SecretsManager::RotationSchedule").values()]
    assert {str(one["SecretId"]) for one in schedules} == {
        str({"Ref": name}) for name in found(template, "AWS::SecretsManager::SecretTargetAttachment")
    }
    assert all(one["RotationRules"] == {"AutomaticallyAfterDays": 30} for one in schedules)
    assert template.to_json()["Transform"] == ["AWS::SecretsManager-2024-09-16"]


def test_users_with_long_lived_connections_alternate(template: Template) -> None:
    kinds = {
        one["Properties"]["HostedRotationLambda"]["RotationLambdaName"]: one["Properties"]["HostedRotationLambda"]
        for one in found(template, "AWS::SecretsManager::RotationSchedule").values()
    }
    assert {name.split("-", 2)[2]: one["RotationType"] for name, one in kinds.items()} == {
        "pm-app-source-t1": "PostgreSQLMultiUser",
        "pm-dms-source-t1": "PostgreSQLMultiUser",
        "pm-cutover-source-t1": "PostgreSQLSingleUser",
        "pm-status-source-t1": "PostgreSQLSingleUser",
        "pmmaster-source-t1": "PostgreSQLSingleUser",
    }
    for name, one in kinds.items():
        assert ("MasterSecretArn" in one) is (one["RotationType"] == "PostgreSQLMultiUser"), name
    masters = [
        content(secret["Properties"]["GenerateSecretString"]["SecretStringTemplate"]).get("masterarn")
        for secret in found(template, "AWS::SecretsManager::Secret").values()
    ]
    assert sorted(masters, key=str) == [None, None, None, "TOKEN", "TOKEN"]


def test_rotation_reaches_database_and_secrets_manager_and_logs_to_a_declared_group(template: Template) -> None:
    groups = {
        group["Properties"]["LogGroupName"]: name for name, group in found(template, "AWS::Logs::LogGroup").items()
    }
    for one in found(template, "AWS::SecretsManager::RotationSchedule").values():
        hosted = one["Properties"]["HostedRotationLambda"]
        assert groups[f"/aws/lambda/{hosted['RotationLambdaName']}"] in one["DependsOn"]
        assert hosted["VpcSecurityGroupIds"] == "sg-0a1b2c3e"
        assert hosted["VpcSubnetIds"] == ",".join(SUBNETS)


def test_commits_are_durable_and_logins_are_logged(template: Template) -> None:
    (group,) = found(template, "AWS::RDS::DBParameterGroup").values()
    parameters = group["Properties"]["Parameters"]
    assert parameters["synchronous_commit"] == "on"
    assert parameters["log_connections"] == parameters["log_disconnections"] == "1"


def test_no_statement_is_logged_with_the_password_that_it_sets(template: Template) -> None:
    """A rotation says ALTER USER ... WITH PASSWORD, which counts as DDL, and the log goes to CloudWatch."""
    (group,) = found(template, "AWS::RDS::DBParameterGroup").values()
    parameters = group["Properties"]["Parameters"]
    assert parameters.get("log_statement", "none") == "none"
    assert parameters.get("log_min_duration_statement", "-1") == "-1"
    assert parameters["log_min_error_statement"] == "panic"  # else with each error, and with each wait for a lock


def test_database_is_monitored_down_to_processes_and_statements(template: Template) -> None:
    (instance,) = found(template, "AWS::RDS::DBInstance").values()
    properties = instance["Properties"]
    assert properties["MonitoringInterval"] == 60
    assert properties["EnablePerformanceInsights"] is True
    assert properties["PerformanceInsightsKMSKeyId"] == {"Fn::GetAtt": ["Key961B73FD", "Arn"]}


def test_functions_are_python_and_named(template: Template) -> None:
    functions = found(template, "AWS::Lambda::Function").values()
    assert {function["Properties"]["FunctionName"] for function in functions} == {"function-database-roles-source-t1"}
    assert all(function["Properties"]["Runtime"].startswith("python") for function in functions)


def test_nothing_is_exported(template: Template) -> None:
    assert "Export" not in template.to_json().get("Outputs", {})


def test_engine_version_is_checked_against_what_cdk_knows() -> None:
    assert engine_version("17.9").postgres_full_version == "17.9"
    with pytest.raises(DatabasePropsError, match=r"18\.99 is unknown .*use one of 18\.1"):
        engine_version("18.99")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"subnet_ids": ("subnet-0a1b2c31",)}, "two zones"),
        ({"storage_gib": 10}, "20 to 65536"),
        ({"backup_days": 0}, "1 to 35"),
        ({"max_connections": 50}, "100 to 5000"),
    ],
)
def test_database_props_out_of_limits_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(DatabasePropsError, match=message):
        database_props(*new_stack(), **changed)
