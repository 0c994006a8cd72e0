"""OperatorTask's template: what runs, and what it may do."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from pm_compute import (
    OperatedDeployment,
    OperatedEnvironment,
    OperatedReplication,
    OperatedTraffic,
    OperatorTask,
    OperatorTaskProps,
    PropsError,
)

ACCOUNT = "111122223333"
URI = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/repository-operator-target-dev1"


def environment(name: str) -> OperatedEnvironment:
    return OperatedEnvironment(
        secret_arn=f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:cutover-{name}-Abc",
        key_arn=f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{name}",
        cluster_name=f"cluster-{name}-dev1",
        service_name=f"service-payments-{name}-dev1",
    )


def dms(kind: str, name: str) -> str:
    return f"arn:aws:dms:us-east-1:{ACCOUNT}:{kind}:{name}"


DEPLOYMENT = OperatedDeployment(
    suffix="dev1",
    replica_region="us-west-2",
    source=environment("source"),
    target=environment("target"),
    evidence_bucket="bucket-logs",
    replication=OperatedReplication(
        instance_arn=dms("rep", "INSTANCE"),
        task_arns=(dms("task", "LOAD"), dms("task", "FORWARD"), dms("task", "REVERSE")),
        endpoint_arns=(dms("endpoint", "READER"), dms("endpoint", "WRITER")),
    ),
    traffic=OperatedTraffic(hosted_zone_id="Z123", record_name="pay.acme.test", source_health_check_id="check-source"),
)
PROPS = OperatorTaskProps(
    environment="target",
    deployment=DEPLOYMENT,
    cluster_name="cluster-target-dev1",
    subnet_ids=("subnet-1", "subnet-2"),
    security_group_id="sg-operator",
    repository_name="repository-operator-target-dev1",
    repository_arn=f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/repository-operator-target-dev1",
    repository_uri=URI,
    image_tag="1.2.3",
    log_retention_days=30,
)


@pytest.fixture(scope="module")
def operator(stack: cdk.Stack) -> OperatorTask:
    return OperatorTask(stack, "Operator", props=PROPS)


@pytest.fixture(scope="module")
def template(stack: cdk.Stack, operator: OperatorTask) -> Template:
    return Template.from_stack(stack)


def definition(template: Template) -> dict[str, Any]:
    (found,) = template.find_resources("AWS::ECS::TaskDefinition").values()
    properties: dict[str, Any] = found["Properties"]
    return properties


def container(template: Template) -> dict[str, Any]:
    (found,) = definition(template)["ContainerDefinitions"]
    return dict(found)


def statements(template: Template, role_name: str) -> dict[str, dict[str, Any]]:
    (role,) = template.find_resources("AWS::IAM::Role", {"Properties": {"RoleName": role_name}})
    return {
        statement["Sid"]: statement
        for policy in template.find_resources("AWS::IAM::ManagedPolicy").values()
        if policy["Properties"]["Roles"] == [{"Ref": role}]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    }


def text(value: Any) -> str:
    """An ARN with the account that CloudFormation would fill in."""
    if isinstance(value, str):
        return value
    return "".join(part if isinstance(part, str) else ACCOUNT for part in value["Fn::Join"][1])


def resources(statement: dict[str, Any]) -> set[str]:
    found = statement["Resource"]
    return {text(one) for one in (found if isinstance(found, list) else [found])}


@pytest.fixture(scope="module")
def may(template: Template) -> dict[str, dict[str, Any]]:
    return statements(template, "role-operator-task-target-dev1")


def test_container_is_confined_to_a_directory_that_goes_with_it(template: Template) -> None:
    one = container(template)
    assert one["ReadonlyRootFilesystem"] is True
    assert one["User"].split(":")[0] not in ("", "0", "root")
    assert "Privileged" not in one
    (mounted,) = one["MountPoints"]
    assert mounted == {"ContainerPath": "/tmp", "ReadOnly": False, "SourceVolume": "scratch"}  # noqa: S108 - its own
    assert definition(template)["Volumes"] == [{"Name": "scratch"}]


def test_container_knows_its_deployment_and_no_secret(template: Template) -> None:
    one = container(template)
    assert {variable["Name"]: variable["Value"] for variable in one["Environment"]} == {
        "PM_SUFFIX": "dev1",
        "PM_OUTPUT": "log",
        "AWS_REGION": "us-east-1",
    }
    assert "Secrets" not in one
    assert one["Image"] == f"{URI}:1.2.3"


def test_a_verb_hears_that_it_is_stopped_and_has_two_minutes_to_end_in_order(template: Template) -> None:
    assert container(template)["LinuxParameters"]["InitProcessEnabled"] is True
    assert container(template)["StopTimeout"] == 120


def test_a_log_that_is_away_does_not_hold_a_verb_up(template: Template) -> None:
    options = container(template)["LogConfiguration"]["Options"]
    assert options["mode"] == "non-blocking"


@pytest.mark.parametrize("architecture", ["X86_64", "ARM64"])
def test_task_runs_on_the_architecture_of_the_image(architecture: str) -> None:
    stack = cdk.Stack(cdk.App(), f"On{architecture.replace('_', '')}", env=cdk.Environment(region="us-east-1"))
    OperatorTask(stack, "Operator", props=replace(PROPS, cpu_architecture=architecture))
    found = definition(Template.from_stack(stack))
    assert found["RuntimePlatform"] == {"CpuArchitecture": architecture, "OperatingSystemFamily": "LINUX"}
    assert found["RequiresCompatibilities"] == ["FARGATE"]


def test_deployment_waits_for_no_image_and_starts_nothing(template: Template) -> None:
    for resource_type in ("Custom::ExistingImage", "AWS::ECS::Service", "AWS::ECS::Cluster"):
        template.resource_count_is(resource_type, 0)


def test_engine_reads_both_cutover_secrets_and_no_other(may: dict[str, dict[str, Any]]) -> None:
    both = (DEPLOYMENT.source, DEPLOYMENT.target)
    assert may["ReadSecrets"]["Action"] == "secretsmanager:GetSecretValue"
    assert resources(may["ReadSecrets"]) == {one.secret_arn for one in both}
    assert may["DecryptSecrets"]["Action"] == "kms:Decrypt"
    assert resources(may["DecryptSecrets"]) == {one.key_arn for one in both}


def test_engine_runs_the_three_tasks_and_tests_their_endpoints(may: dict[str, dict[str, Any]]) -> None:
    replication = DEPLOYMENT.replication
    assert set(may["RunReplication"]["Action"]) == {
        "dms:DescribeTableStatistics",
        "dms:RemoveTagsFromResource",
        "dms:StartReplicationTask",
        "dms:StopReplicationTask",
    }
    assert resources(may["RunReplication"]) == set(replication.task_arns)
    assert resources(may["TestEndpoints"]) == {replication.instance_arn, *replication.endpoint_arns}


def test_engine_changes_the_weights_of_one_name_and_nothing_else_of_the_zone(may: dict[str, dict[str, Any]]) -> None:
    shift = may["ShiftWeights"]
    assert shift["Action"] == "route53:ChangeResourceRecordSets"
    assert resources(shift) == resources(may["ReadRecords"]) == {"arn:aws:route53:::hostedzone/Z123"}
    assert shift["Condition"]["ForAllValues:StringEquals"] == {
        "route53:ChangeResourceRecordSetsNormalizedRecordNames": ["pay.acme.test"],
        "route53:ChangeResourceRecordSetsRecordTypes": ["CNAME"],
        "route53:ChangeResourceRecordSetsActions": ["UPSERT"],
    }
    parameter = f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/pm/dev1/source/zone/weight-"
    assert resources(may["KeepWeights"]) == {f"{parameter}source", f"{parameter}target"}
    assert resources(may["PauseHealthCheck"]) == {"arn:aws:route53:::healthcheck/check-source"}


def test_engine_reads_what_its_own_deployment_publishes(may: dict[str, dict[str, Any]]) -> None:
    path = f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/pm/dev1"
    assert resources(may["ReadParameters"]) == {path, f"{path}/*"}
    assert resources(may["LookAtStacks"]) == {
        f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/pm-*-dev1/*",
        f"arn:aws:cloudformation:us-west-2:{ACCOUNT}:stack/pm-audit-*-dev1/*",
    }
    assert resources(may["LookAtServices"]) == {
        f"arn:aws:ecs:us-east-1:{ACCOUNT}:service/cluster-{name}-dev1/service-payments-{name}-dev1"
        for name in ("source", "target")
    }


def test_evidence_is_added_below_its_prefix_with_the_target_s_key(may: dict[str, dict[str, Any]]) -> None:
    assert may["KeepEvidence"]["Action"] == "s3:PutObject"
    assert resources(may["KeepEvidence"]) == {"arn:aws:s3:::bucket-logs/evidence/*"}
    assert may["EncryptEvidence"]["Action"] == "kms:GenerateDataKey"
    assert resources(may["EncryptEvidence"]) == {DEPLOYMENT.target.key_arn}


def test_only_reading_is_allowed_on_every_resource(may: dict[str, dict[str, Any]]) -> None:
    wide = [statement for statement in may.values() if "*" in resources(statement)]
    assert [statement["Sid"] for statement in wide] == ["Look"]
    assert all(action.partition(":")[2].startswith(("Describe", "Get", "List")) for action in wide[0]["Action"])


def test_ecs_may_pull_one_image_and_write_one_log(template: Template) -> None:
    allowed = statements(template, "role-operator-execution-target-dev1")
    assert allowed["Pull"]["Resource"] == PROPS.repository_arn
    (group,) = template.find_resources(
        "AWS::Logs::LogGroup", {"Properties": {"LogGroupName": "log-group-operator-target-dev1"}}
    )
    assert allowed["Log"]["Resource"] == {"Fn::GetAtt": [group, "Arn"]}
    template.resource_count_is("AWS::IAM::Policy", 0)


def test_logs_are_encrypted_kept_as_asked_and_deleted_with_the_stack(template: Template) -> None:
    (key,) = template.find_resources("AWS::KMS::Key")
    groups = template.find_resources("AWS::Logs::LogGroup").values()
    assert {group["Properties"]["LogGroupName"] for group in groups} == {
        "log-group-operator-target-dev1",
        "/aws/lambda/function-stopped-tasks-target-dev1",
    }
    for group in groups:
        assert group["Properties"]["KmsKeyId"] == {"Fn::GetAtt": [key, "Arn"]}
        assert group["Properties"]["RetentionInDays"] == 30
        assert group["DeletionPolicy"] == "Delete"


def test_running_tasks_are_stopped_before_anything_that_they_need_goes(template: Template) -> None:
    (stopped,) = template.find_resources("Custom::StoppedTasks").values()
    family = definition(template)["Family"]
    assert (stopped["Properties"]["Cluster"], stopped["Properties"]["Family"]) == ("cluster-target-dev1", family)
    needed = {
        name
        for kind in ("AWS::ECS::TaskDefinition", "AWS::IAM::Role", "AWS::IAM::ManagedPolicy", "AWS::Logs::LogGroup")
        for name in template.find_resources(kind)
        if "StoppedTasksProvider" not in name  # the function's own, which it waits for itself
    }
    assert len(needed) == 6
    assert needed <= set(stopped["DependsOn"])


def test_image_and_task_agree_about_user_and_scratch_directory(template: Template) -> None:
    containerfile = (Path(__file__).parents[2] / "pm-cutover" / "Containerfile").read_text()
    user, one = re.findall(r"^USER (.+)$", containerfile, re.MULTILINE), container(template)
    assert user == [one["User"].split(":")[0]]
    (mounted,) = one["MountPoints"]
    assert f'VOLUME ["{mounted["ContainerPath"]}"]' in containerfile
    assert f"WORKDIR {mounted['ContainerPath']}" in containerfile


def test_contract_says_how_to_run_the_task(operator: OperatorTask) -> None:
    contract = operator.contract
    assert (contract.cluster_name, contract.container_name) == ("cluster-target-dev1", "pm")
    assert contract.subnet_ids == ("subnet-1", "subnet-2")
    assert contract.security_group_id == "sg-operator"
    assert (contract.repository_uri, contract.image_tag) == (URI, "1.2.3")


def test_every_name_is_of_the_environment_and_the_suffix(template: Template) -> None:
    assert definition(template)["Family"] == "task-definition-operator-target-dev1"
    assert "alias-operator-target-dev1" in json.dumps(template.find_resources("AWS::KMS::Alias"))


def test_a_task_without_a_subnet_is_refused() -> None:
    with pytest.raises(PropsError, match="at least one subnet"):
        replace(PROPS, subnet_ids=())
