import json
from dataclasses import replace
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from pm_replication import DatabaseReplication, DatabaseReplicationProps, PropsError, ReplicatedDatabase

SOURCE = ReplicatedDatabase(
    secret_arn="arn:aws:secretsmanager:us-east-1:111122223333:secret:source-Abc",
    key_arn="arn:aws:kms:us-east-1:111122223333:key/source",
    database_name="payments",
)
TARGET = ReplicatedDatabase(
    secret_arn="arn:aws:secretsmanager:us-east-1:111122223333:secret:target-Abc",
    key_arn="arn:aws:kms:us-east-1:111122223333:key/target",
    database_name="payments",
)
PROPS = DatabaseReplicationProps(
    environment="target",
    suffix="dev1",
    subnet_ids=("subnet-0123456789abcdef0", "subnet-0123456789abcdef1"),
    security_group_id="sg-0123456789abcdef0",
    source=SOURCE,
    target=TARGET,
    tables=("public.payments", "public.ledger_entries"),
    instance_class="dms.r5.large",
    storage_gib=50,
    engine_version="3.6.1",
    multi_az=True,
    ssl_mode="require",
    slot_plugin="test_decoding",
    service_roles=True,
    log_retention_days=30,
)

Resource = dict[str, Any]


def synthesize(stack: cdk.Stack, construct_id: str, props: DatabaseReplicationProps) -> Template:
    DatabaseReplication(stack, construct_id, props=props)
    return Template.from_stack(stack)


@pytest.fixture(scope="module")
def template(stack: cdk.Stack) -> Template:
    return synthesize(stack, "Replication", PROPS)


@pytest.fixture(scope="module")
def endpoints(template: Template) -> dict[str, Resource]:
    """Properties by the identifier's qualifier, for example source-reader."""
    return {
        resource["Properties"]["EndpointIdentifier"].removeprefix("endpoint-").removesuffix("-target-dev1"): resource[
            "Properties"
        ]
        for resource in template.find_resources("AWS::DMS::Endpoint").values()
    }


@pytest.fixture(scope="module")
def tasks(template: Template) -> dict[str, Resource]:
    return {
        resource["Properties"]["ReplicationTaskIdentifier"]
        .removeprefix("replication-task-")
        .removesuffix("-target-dev1"): resource["Properties"]
        for resource in template.find_resources("AWS::DMS::ReplicationTask").values()
    }


def identifier_of(template: Template, reference: dict[str, str]) -> str:
    resource = template.find_resources("AWS::DMS::Endpoint")[reference["Ref"]]
    return str(resource["Properties"]["EndpointIdentifier"])


def test_logical_ids_of_what_must_never_be_replaced_are_pinned(template: Template) -> None:
    assert set(template.find_resources("AWS::DMS::ReplicationInstance")) == {"ReplicationInstance5CD1A1EC"}
    assert set(template.find_resources("AWS::DMS::ReplicationTask")) == {
        "ReplicationLoadTask769F13E3",
        "ReplicationForwardTask21CC3079",
        "ReplicationReverseTask21EBAA85",
    }


def test_instance_is_private_encrypted_pinned_and_as_available_as_asked(template: Template) -> None:
    template.has_resource_properties(
        "AWS::DMS::ReplicationInstance",
        {
            "ReplicationInstanceIdentifier": "replication-instance-target-dev1",
            "ReplicationInstanceClass": "dms.r5.large",
            "EngineVersion": "3.6.1",
            "AutoMinorVersionUpgrade": False,
            "MultiAZ": True,
            "PubliclyAccessible": False,
            "KmsKeyId": {"Fn::GetAtt": ["ReplicationKey0D6F8109", "Arn"]},
            "VpcSecurityGroupIds": ["sg-0123456789abcdef0"],
            "ReplicationSubnetGroupIdentifier": {"Ref": "ReplicationSubnets6690D208"},
        },
    )


def test_endpoints_name_only_a_secret(endpoints: dict[str, Resource]) -> None:
    assert set(endpoints) == {"source-loader", "source-reader", "source-writer", "target-reader", "target-writer"}
    for endpoint in endpoints.values():
        assert not {"Username", "Password", "ServerName", "Port"} & set(endpoint)
        assert endpoint["EngineName"] == "postgres"
        assert endpoint["DatabaseName"] == "payments"
        assert endpoint["SslMode"] == "require"
        assert endpoint["KmsKeyId"] == {"Fn::GetAtt": ["ReplicationKey0D6F8109", "Arn"]}


@pytest.mark.parametrize("side", ["source", "target"])
def test_both_endpoints_of_a_side_use_its_secret(endpoints: dict[str, Resource], side: str) -> None:
    database = SOURCE if side == "source" else TARGET
    for direction in ("reader", "writer"):
        settings = endpoints[f"{side}-{direction}"]["PostgreSqlSettings"]
        assert settings["SecretsManagerSecretId"] == database.secret_arn
        assert f"{side.capitalize()}Access" in settings["SecretsManagerAccessRoleArn"]["Fn::GetAtt"][0]


@pytest.mark.parametrize(("reader", "slot"), [("source-reader", "pm_forward"), ("target-reader", "pm_reverse")])
def test_readers_use_the_engine_s_slot_and_a_heartbeat(endpoints: dict[str, Resource], reader: str, slot: str) -> None:
    endpoint = endpoints[reader]
    assert endpoint["EndpointType"] == "source"
    assert endpoint["PostgreSqlSettings"]["SlotName"] == slot
    assert endpoint["PostgreSqlSettings"]["PluginName"] == "test-decoding"
    assert endpoint["PostgreSqlSettings"]["HeartbeatEnable"] is True
    assert endpoint["PostgreSqlSettings"]["FailTasksOnLobTruncation"] is True
    assert endpoint["PostgreSqlSettings"]["CaptureDdls"] is False  # no event trigger in the user's database


def test_the_loader_names_no_slot_because_dms_would_ask_for_a_start_position(endpoints: dict[str, Resource]) -> None:
    assert "SlotName" not in endpoints["source-loader"]["PostgreSqlSettings"]
    assert endpoints["source-loader"]["PostgreSqlSettings"]["HeartbeatEnable"] is True


@pytest.mark.parametrize("writer", ["source-writer", "target-writer"])
def test_writers_apply_without_triggers_and_foreign_keys(endpoints: dict[str, Resource], writer: str) -> None:
    assert endpoints[writer]["EndpointType"] == "target"
    script = endpoints[writer]["PostgreSqlSettings"]["AfterConnectScript"]
    assert script == "SET session_replication_role = replica"


def test_booleans_stay_booleans(endpoints: dict[str, Resource]) -> None:
    assert all(endpoint["PostgreSqlSettings"]["MapBooleanAsBoolean"] is True for endpoint in endpoints.values())


@pytest.mark.parametrize(
    ("task", "migration_type", "reader", "writer"),
    [
        ("load", "full-load-and-cdc", "source-loader", "target-writer"),
        ("forward", "cdc", "source-reader", "target-writer"),
        ("reverse", "cdc", "target-reader", "source-writer"),
    ],
)
def test_tasks_move_data_in_their_direction(
    template: Template, tasks: dict[str, Resource], task: str, migration_type: str, reader: str, writer: str
) -> None:
    assert tasks[task]["MigrationType"] == migration_type
    assert identifier_of(template, tasks[task]["SourceEndpointArn"]) == f"endpoint-{reader}-target-dev1"
    assert identifier_of(template, tasks[task]["TargetEndpointArn"]) == f"endpoint-{writer}-target-dev1"


def test_every_task_compares_rows_and_a_cdc_task_at_leisure(tasks: dict[str, Resource]) -> None:
    validations = {
        name: json.loads(task["ReplicationTaskSettings"])["ValidationSettings"] for name, task in tasks.items()
    }
    assert all(validation["EnableValidation"] for validation in validations.values())
    threads = {name: validation["ThreadCount"] for name, validation in validations.items()}
    assert threads["forward"] == threads["reverse"] < threads["load"]


def test_validation_can_be_left_out() -> None:
    stack = cdk.Stack(cdk.App(), "Other", env=cdk.Environment(region="us-east-1"))
    template = synthesize(stack, "Replication", replace(PROPS, validation=False))
    for task in template.find_resources("AWS::DMS::ReplicationTask").values():
        settings = json.loads(task["Properties"]["ReplicationTaskSettings"])
        assert settings["ValidationSettings"] == {"EnableValidation": False}


def test_nothing_of_dms_is_left_in_the_schema_of_the_payments(
    tasks: dict[str, Resource], endpoints: dict[str, Resource]
) -> None:
    for task in tasks.values():
        settings = json.loads(task["ReplicationTaskSettings"])
        assert settings["ControlTablesSettings"]["ControlSchema"] == "pm_control"
    for endpoint in endpoints.values():
        if endpoint["EndpointType"] == "source":
            assert endpoint["PostgreSqlSettings"]["HeartbeatSchema"] == "pm_control"


def test_every_task_replicates_the_tables_and_the_marker(tasks: dict[str, Resource]) -> None:
    assert set(tasks) == {"load", "forward", "reverse"}
    for task in tasks.values():
        rules = json.loads(task["TableMappings"])["rules"]
        located = {(rule["object-locator"]["schema-name"], rule["object-locator"]["table-name"]) for rule in rules}
        assert located == {("public", "payments"), ("public", "ledger_entries"), ("pm_control", "marker")}


@pytest.mark.parametrize("side", ["source", "target"])
def test_dms_may_read_exactly_one_secret_with_exactly_its_key(template: Template, side: str) -> None:
    database = SOURCE if side == "source" else TARGET
    roles = template.find_resources("AWS::IAM::Role", {"Properties": {"RoleName": f"role-dms-{side}-target-dev1"}})
    ((logical_id, role),) = ((name, resource["Properties"]) for name, resource in roles.items())
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "dms.us-east-1.amazonaws.com"}
    (policy,) = (
        resource["Properties"]
        for resource in template.find_resources("AWS::IAM::ManagedPolicy").values()
        if resource["Properties"]["Roles"] == [{"Ref": logical_id}]
    )
    statements = policy["PolicyDocument"]["Statement"]
    assert {statement["Resource"] for statement in statements} == {database.secret_arn, database.key_arn}


@pytest.mark.parametrize("side", ["source", "target"])
def test_endpoints_wait_for_the_permission_to_read_their_secret(template: Template, side: str) -> None:
    """DMS reads the secret when the endpoint is made."""
    (policy,) = (
        name
        for name, resource in template.find_resources("AWS::IAM::ManagedPolicy").items()
        if resource["Properties"]["ManagedPolicyName"] == f"policy-dms-{side}-target-dev1"
    )
    of_side = [
        resource
        for resource in template.find_resources("AWS::DMS::Endpoint").values()
        if resource["Properties"]["EndpointIdentifier"].startswith(f"endpoint-{side}-")
    ]
    assert len(of_side) == {"source": 3, "target": 2}[side]
    for endpoint in of_side:
        assert policy in endpoint["DependsOn"]


def test_subnet_group_and_instance_are_made_well_after_the_account_wide_roles(template: Template) -> None:
    """DMS refuses a role that IAM has only just made: a role, a policy and a function come in between."""
    roles = template.find_resources("AWS::IAM::Role")
    (function,) = template.find_resources("AWS::Lambda::Function").values()
    (of_the_function,) = (name for name in roles if {"Fn::GetAtt": [name, "Arn"]} == function["Properties"]["Role"])
    service_roles = {
        logical_id
        for logical_id, role in roles.items()
        if role["Properties"]["RoleName"] in ("dms-vpc-role", "dms-cloudwatch-logs-role")
    }
    assert len(service_roles) == 2
    assert service_roles <= set(roles[of_the_function]["DependsOn"])
    assert any("Policy" in name for name in function["DependsOn"])
    (functions,) = template.find_resources("AWS::Lambda::Function")
    ((group_id, group),) = template.find_resources("AWS::DMS::ReplicationSubnetGroup").items()
    assert functions in group["DependsOn"]
    (instance,) = template.find_resources("AWS::DMS::ReplicationInstance").values()
    assert instance["Properties"]["ReplicationSubnetGroupIdentifier"] == {"Ref": group_id}


def test_task_logs_are_declared_encrypted_and_made_before_the_instance(template: Template) -> None:
    (group,) = template.find_resources(
        "AWS::Logs::LogGroup", {"Properties": {"LogGroupName": "dms-tasks-replication-instance-target-dev1"}}
    )
    (instance,) = template.find_resources("AWS::DMS::ReplicationInstance").values()
    assert group in instance["DependsOn"]
    for resource in template.find_resources("AWS::Logs::LogGroup").values():
        assert resource["Properties"]["KmsKeyId"] == {"Fn::GetAtt": ["ReplicationKey0D6F8109", "Arn"]}
        assert resource["Properties"]["RetentionInDays"] == 30


def test_logs_may_use_the_key_for_the_declared_groups_only(template: Template) -> None:
    (key,) = template.find_resources("AWS::KMS::Key").values()
    admitted = [
        statement["Condition"]["ArnEquals"]["kms:EncryptionContext:aws:logs:arn"]
        for statement in key["Properties"]["KeyPolicy"]["Statement"]
        if statement["Principal"] == {"Service": "logs.us-east-1.amazonaws.com"}
    ]
    groups = [g["Properties"]["LogGroupName"] for g in template.find_resources("AWS::Logs::LogGroup").values()]
    assert len(admitted) == len(groups) == 2
    assert all(any(arn["Fn::Join"][1][-1].endswith(f":log-group:{group}") for arn in admitted) for group in groups)


def test_running_tasks_are_paused_before_they_or_their_endpoints_change_and_resumed_after(template: Template) -> None:
    (before,) = template.find_resources("Custom::PausedTasks")
    (resumed,) = template.find_resources("Custom::ResumedTasks").values()
    tasks = template.find_resources("AWS::DMS::ReplicationTask")
    for resource in (*tasks.values(), *template.find_resources("AWS::DMS::Endpoint").values()):
        assert before in resource["DependsOn"]
    # CloudFormation updates what depends after what is depended on, and deletes it before.
    assert set(tasks) < set(resumed["DependsOn"])
    assert resumed["Properties"]["Tasks"] == sorted(
        (task["Properties"]["ReplicationTaskIdentifier"] for task in tasks.values()),
        key=lambda name: ("load", "forward", "reverse").index(name.split("-")[2]),
    )


def test_changed_settings_change_the_definition_that_pauses_the_tasks() -> None:
    def definition(props: DatabaseReplicationProps) -> str:
        stack = cdk.Stack(cdk.App(), "Other", env=cdk.Environment(region="us-east-1"))
        (paused,) = synthesize(stack, "Replication", props).find_resources("Custom::PausedTasks").values()
        return str(paused["Properties"]["Definition"])

    assert definition(PROPS) == definition(replace(PROPS, log_retention_days=90))
    assert definition(PROPS) != definition(replace(PROPS, tables=(*PROPS.tables, "public.payouts")))
    assert definition(PROPS) != definition(replace(PROPS, ssl_mode="none"))


def test_another_instance_or_type_is_known_before_the_tasks_are_replaced(template: Template) -> None:
    (paused,) = template.find_resources("Custom::PausedTasks").values()
    (instance,) = template.find_resources("AWS::DMS::ReplicationInstance")
    assert paused["Properties"]["InstanceArn"] == {"Ref": instance}
    assert set(paused["Properties"]["MigrationTypes"].values()) == {"full-load-and-cdc", "cdc"}


def test_function_may_stop_these_tasks_only(template: Template) -> None:
    policies = template.find_resources(
        "AWS::IAM::ManagedPolicy", {"Properties": {"ManagedPolicyName": "policy-stop-tasks-target-dev1"}}
    )
    (statement,) = next(iter(policies.values()))["Properties"]["PolicyDocument"]["Statement"]
    assert {reference["Ref"] for reference in statement["Resource"]} == set(
        template.find_resources("AWS::DMS::ReplicationTask")
    )


def test_nothing_is_kept_after_a_destroy(template: Template) -> None:
    for resource in template.to_json()["Resources"].values():
        assert resource.get("DeletionPolicy", "Delete") == "Delete"


def test_roles_are_left_out_where_the_account_has_them_and_pgoutput_is_no_dms_plugin() -> None:
    stack = cdk.Stack(cdk.App(), "Other", env=cdk.Environment(region="us-east-1"))
    template = synthesize(stack, "Replication", replace(PROPS, service_roles=False, slot_plugin="pgoutput"))
    names = {role["Properties"]["RoleName"] for role in template.find_resources("AWS::IAM::Role").values()}
    assert not names & {"dms-vpc-role", "dms-cloudwatch-logs-role"}
    for endpoint in template.find_resources("AWS::DMS::Endpoint").values():
        assert "PluginName" not in endpoint["Properties"]["PostgreSqlSettings"]


def test_verifying_the_server_needs_a_certificate() -> None:
    with pytest.raises(PropsError, match="certificate_arn"):
        replace(PROPS, ssl_mode="verify-full")


def test_one_subnet_is_refused() -> None:
    with pytest.raises(PropsError, match="two zones"):
        replace(PROPS, subnet_ids=("subnet-1",))
