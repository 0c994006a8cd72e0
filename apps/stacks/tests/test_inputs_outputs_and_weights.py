"""What the tiers' stacks tell each other and the operator, and what they must leave alone."""

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Annotations, Match, Template

from pm_core import (
    CONTRACTS,
    CertificateContract,
    Contract,
    OperatorContract,
    ReplicationContract,
    Settings,
    TargetRegistryContract,
    ZoneContract,
)
from pm_stacks import Selection, Tier, compose_environment
from pm_stacks.certificate import CertificateStack
from pm_stacks.compute import ComputeStack
from pm_stacks.data import DataStack
from pm_stacks.observability import ObservabilityStack
from pm_stacks.operator import OperatorStack
from pm_stacks.registry import RegistryStack
from pm_stacks.replication import ReplicationStack
from pm_stacks.traffic import TrafficStack
from pm_stacks.zone import ZoneStack

_CONTEXT = json.loads((Path(__file__).parents[3] / "cdk.json").read_text())["context"]
SETTINGS: dict[str, Any] = {"environmentSuffix": "dev1", "domain": "payments.acme.test"}

# Of the contracts that not both environments publish.
PUBLISHERS: dict[type[Contract], tuple[str, ...]] = {
    ZoneContract: ("source",),
    CertificateContract: ("source",),
    TargetRegistryContract: ("target",),
    ReplicationContract: ("target",),
    OperatorContract: ("target",),
}

Templates = dict[str, dict[str, Any]]


def compose(**settings: Any) -> tuple[cdk.App, dict[str, cdk.Stack]]:
    app = cdk.App(context=_CONTEXT)
    parsed = Settings.parse(SETTINGS | settings)
    stacks: list[cdk.Stack] = [
        ZoneStack(app=app, settings=parsed),
        CertificateStack(app=app, settings=parsed),
        ReplicationStack(app=app, settings=parsed),
        OperatorStack(app=app, settings=parsed),
    ]
    for environment in ("source", "target"):
        stacks += [
            RegistryStack(app=app, environment=environment, settings=parsed),
            ComputeStack(app=app, environment=environment, settings=parsed),
            TrafficStack(app=app, environment=environment, settings=parsed),
            ObservabilityStack(app=app, environment=environment, settings=parsed),
        ]
    return app, {stack.node.id: stack for stack in stacks}


@pytest.fixture(scope="module")
def templates() -> Templates:
    _, stacks = compose()
    return {name: Template.from_stack(stack).to_json() for name, stack in stacks.items()}


def resources(template: dict[str, Any], resource_type: str) -> list[dict[str, Any]]:
    return [resource["Properties"] for resource in template["Resources"].values() if resource["Type"] == resource_type]


def published(template: dict[str, Any]) -> dict[str, Any]:
    return {parameter["Name"]: parameter["Value"] for parameter in resources(template, "AWS::SSM::Parameter")}


def text(value: Any) -> str:
    """An output's value as the operator sees it, with ``VALUE`` for what AWS fills in."""
    if isinstance(value, str):
        return value
    if "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return str(separator).join(text(part) for part in parts) if isinstance(parts, list) else "VALUE"
    return "VALUE"


def commands(templates: Templates) -> Iterator[tuple[str, str]]:
    for name, template in templates.items():
        for output, body in template["Outputs"].items():
            if output.endswith(("Command", "Procedure")):
                yield f"{name}.{output}", text(body["Value"])


def test_every_contract_is_published_in_full(templates: Templates) -> None:
    paths = {path for template in templates.values() for path in published(template)}
    for contract in CONTRACTS:
        if contract.tier in ("network", "data"):
            continue
        for environment in PUBLISHERS.get(contract, ("source", "target")):
            for field in contract.field_names():
                assert contract.path("dev1", environment, field, 1 if contract.is_list(field) else None) in paths


def test_no_published_value_is_empty(templates: Templates) -> None:
    assert all(value != "" for template in templates.values() for value in published(template).values())


def test_tiers_are_coupled_through_parameters_only(templates: Templates) -> None:
    for template in templates.values():
        assert "Fn::ImportValue" not in json.dumps(template)
        assert not any("Export" in output for output in template["Outputs"].values())


def test_changing_the_phase_rewrites_no_weight(templates: Templates) -> None:
    """CloudFormation writes a parameter's value again when a tag changes: the weights must not be touched at all."""
    _, later = compose(migrationPhase="shift", costCenter="other")
    zone = Template.from_stack(later["zone"]).to_json()
    for field in ("weight_source", "weight_target"):
        name = ZoneContract.path("dev1", "source", field)
        (before,) = (p for p in resources(templates["zone"], "AWS::SSM::Parameter") if p["Name"] == name)
        (after,) = (p for p in resources(zone, "AWS::SSM::Parameter") if p["Name"] == name)
        assert before == after
    assert later["zone"].tags.render_tags() is None
    (hosted_zone,) = resources(zone, "AWS::Route53::HostedZone")
    assert {"Key": "MigrationPhase", "Value": "shift"} in hosted_zone["HostedZoneTags"]


@pytest.mark.parametrize("environment", ["source", "target"])
def test_record_takes_its_environment_s_weight_from_the_parameter(templates: Templates, environment: str) -> None:
    template = templates[f"traffic-{environment}"]
    (record,) = resources(template, "AWS::Route53::RecordSet")
    path = f"/pm/dev1/source/zone/weight-{environment}"
    assert template["Parameters"][record["Weight"]["Ref"]]["Default"] == path
    assert record["SetIdentifier"] == environment
    (kept,) = resources(template, "Custom::KeptWeight")
    assert (kept["WeightParameter"], kept["Record"]) == (path, record)


@pytest.mark.parametrize("environment", ["source", "target"])
def test_service_of_either_environment_reaches_both_databases_source_first(
    templates: Templates, environment: str
) -> None:
    template = templates[f"compute-{environment}"]
    (definition,) = resources(template, "AWS::ECS::TaskDefinition")
    variables = {v["Name"]: v["Value"] for v in definition["ContainerDefinitions"][0]["Environment"]}
    _, parts = variables["PM_CANDIDATES"]["Fn::Join"]
    assert [template["Parameters"][part["Ref"]]["Default"] if isinstance(part, dict) else part for part in parts] == [
        "source=",
        "/pm/dev1/source/data/app-secret-arn",
        ",target=",
        "/pm/dev1/target/data/app-secret-arn",
    ]
    assert variables["PM_ENVIRONMENT"] == environment
    assert variables["PM_SSL_MODE"] == "verify-full"


def test_lag_is_watched_where_the_replication_is(templates: Templates) -> None:
    source = published(templates["observability-source"])["/pm/dev1/source/observability/lag-alarm-names"]
    target = published(templates["observability-target"])["/pm/dev1/target/observability/lag-alarm-names"]
    assert [name for name in source.split(",") if name] == []
    names = {alarm["AlarmName"] for alarm in resources(templates["observability-target"], "AWS::CloudWatch::Alarm")}
    assert len(text(target).split(",")) == 6
    assert len([name for name in names if "-lag-" in name and "slot" not in name]) == 6


@pytest.mark.parametrize(("ssl_mode", "dms"), [("disable", "none"), ("require", "require"), ("verify-full", "require")])
def test_replication_encrypts_whenever_the_clients_do(ssl_mode: str, dms: str) -> None:
    stack = ReplicationStack(
        app=cdk.App(context=_CONTEXT), settings=Settings.parse(SETTINGS | {"databaseSslMode": ssl_mode})
    )
    endpoints = resources(Template.from_stack(stack).to_json(), "AWS::DMS::Endpoint")
    assert {endpoint["SslMode"] for endpoint in endpoints} == {dms}


@pytest.mark.parametrize("ssl_mode", ["disable", "verify-full"])
def test_aspects_let_databases_without_tls_through_where_the_settings_say_so(ssl_mode: str) -> None:
    app, settings = cdk.App(context=_CONTEXT), Settings.parse(SETTINGS | {"databaseSslMode": ssl_mode})
    for stack in (
        DataStack(app=app, environment="source", settings=settings),
        ReplicationStack(app=app, settings=settings),
    ):
        assert Annotations.from_stack(stack).find_error("*", Match.any_value()) == []


def test_commands_for_the_operator_are_valid_shell(templates: Templates) -> None:
    checked = dict(commands(templates))
    assert len(checked) >= 15
    for name, command in checked.items():
        result = subprocess.run(["/bin/sh", "-n", "-c", command], capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"{name}: {command}\n{result.stderr}"
        assert shlex.split(command)[0] in ("aws", "curl", "docker", "pm"), name


@pytest.mark.parametrize("weight", [0, 5, 25, 50, 100])
def test_weight_commands_change_parameter_and_record_alike(templates: Templates, weight: int) -> None:
    output = templates["traffic-target"]["Outputs"][f"Weight{weight}Command"]
    words = shlex.split(text(output["Value"]))
    split = words.index("&&")
    parameter, record = words[:split], words[split + 1 :]
    assert parameter[parameter.index("--name") + 1] == "/pm/dev1/source/zone/weight-target"
    assert parameter[parameter.index("--value") + 1] == str(weight)
    (change,) = json.loads(record[record.index("--change-batch") + 1])["Changes"]
    assert change["Action"] == "UPSERT"
    assert change["ResourceRecordSet"]["Weight"] == weight
    assert change["ResourceRecordSet"]["SetIdentifier"] == "target"


def test_operator_is_told_task_arns_health_endpoints_and_the_way_back(templates: Templates) -> None:
    replication = templates["replication-target"]["Outputs"]
    assert {"LoadTaskArn", "ForwardTaskArn", "ReverseTaskArn", "StatusCommand"} <= set(replication)
    assert replication["RollbackProcedure"]["Value"].startswith("pm rollback")
    assert text(templates["compute-source"]["Outputs"]["HealthEndpoint"]["Value"]).endswith("/health")
    assert "DashboardUrl" in templates["observability-target"]["Outputs"]


def test_operator_is_told_how_to_run_a_verb_inside_the_network(templates: Templates) -> None:
    template = templates["operator-target"]
    outputs = {name: text(output["Value"]) for name, output in template["Outputs"].items()}
    assert shlex.split(outputs["RemoteCommand"]) == ["pm", "--remote", "status", "--suffix", "dev1"]
    words = shlex.split(outputs["RunTaskCommand"])
    assert words[:3] == ["aws", "ecs", "run-task"]
    overrides = json.loads(words[words.index("--overrides") + 1])
    (container,) = resources(template, "AWS::ECS::TaskDefinition")[0]["ContainerDefinitions"]
    assert overrides == {"containerOverrides": [{"name": container["Name"], "command": ["status"]}]}
    network = json.loads(words[words.index("--network-configuration") + 1])["awsvpcConfiguration"]
    assert network == {"subnets": ["VALUE", "VALUE"], "securityGroups": ["VALUE"], "assignPublicIp": "DISABLED"}


def test_operator_s_image_comes_from_the_target_s_registry_and_may_come_later(templates: Templates) -> None:
    (definition,) = resources(templates["operator-target"], "AWS::ECS::TaskDefinition")
    image = definition["ContainerDefinitions"][0]["Image"]["Fn::Join"][1]
    parameter = templates["operator-target"]["Parameters"][image[0]["Ref"]]["Default"]
    assert (parameter, image[1]) == ("/pm/dev1/target/registry/operator-repository-uri", ":1.0.0")
    assert resources(templates["operator-target"], "Custom::ExistingImage") == []
    assert "OperatorPushCommand" in templates["registry-target"]["Outputs"]
    assert len(resources(templates["registry-target"], "AWS::ECR::Repository")) == 2
    assert len(resources(templates["registry-source"], "AWS::ECR::Repository")) == 1


def test_operator_s_image_has_a_tag_of_its_own() -> None:
    _, stacks = compose(operatorImageTag="2.0.0")
    (definition,) = resources(Template.from_stack(stacks["operator-target"]).to_json(), "AWS::ECS::TaskDefinition")
    assert definition["ContainerDefinitions"][0]["Image"]["Fn::Join"][1][1] == ":2.0.0"


@pytest.mark.parametrize("environment", ["source", "target"])
def test_operator_reaches_the_other_database_from_the_target_alone(templates: Templates, environment: str) -> None:
    template = templates["replication-target"]
    admitted = {
        template["Parameters"][rule["SourceSecurityGroupId"]["Ref"]]["Default"].rpartition("/")[2]
        for rule in resources(template, "AWS::EC2::SecurityGroupIngress")
        if f"/{environment}/" not in template["Parameters"][rule["GroupId"]["Ref"]]["Default"]
    }
    operator = {"operator-security-group-id"} if environment == "target" else set()
    assert operator == {group for group in admitted if group.startswith("operator")}


@pytest.mark.parametrize("key", ["Environment", "MigrationPhase", "CostCenter"])
def test_resources_carry_the_tags(templates: Templates, key: str) -> None:
    for resource_type in ("AWS::ECS::Service", "AWS::ECR::Repository", "AWS::DMS::Endpoint", "AWS::SNS::Topic"):
        for template in templates.values():
            for properties in resources(template, resource_type):
                assert key in {tag["Key"] for tag in properties["Tags"]}


@pytest.mark.parametrize("tier", ["compute", "observability"])
def test_in_the_last_phase_the_target_knows_nothing_of_the_source(templates: Templates, tier: str) -> None:
    _, stacks = compose(migrationPhase="complete")
    after = Template.from_stack(stacks[f"{tier}-target"]).to_json()
    paths = {parameter.get("Default", "") for parameter in after["Parameters"].values()}
    # The certificate and the zone serve both environments and stay.
    assert {path for path in paths if "/source/" in path} == {"/pm/dev1/source/certificate/certificate-arn"}
    assert not any("/replication/" in path for path in paths)
    before = {parameter.get("Default", "") for parameter in templates[f"{tier}-target"]["Parameters"].values()}
    assert any("/source/data/" in path for path in before)


def test_in_the_last_phase_no_stack_of_the_target_but_the_replication_needs_the_source() -> None:
    whole: tuple[Tier, ...] = ("network", "audit", "data", "registry", "zone", "certificate", "compute", "traffic")
    target: tuple[Tier, ...] = ("network", "audit", "data", "registry", "compute", "traffic", "replication")

    def needs(phase: str) -> dict[str, set[str]]:
        app, settings = cdk.App(context=_CONTEXT), Settings.parse(SETTINGS | {"migrationPhase": phase})
        built = [
            stack
            for environment, tiers in (("source", whole), ("target", target))
            for stack in compose_environment(
                app=app,
                environment=environment,
                tiers=(*tiers, "observability"),
                settings=settings,
                only=Selection(),
            )
        ]
        found = {stack.node.id: {needed.node.id for needed in stack.dependencies} for stack in built}
        return {name: {one for one in needed if one.endswith("-source")} for name, needed in found.items()}

    assert needs("shift")["observability-target"] == {"data-source", "compute-source", "traffic-source"}
    assert {name for name, needed in needs("complete").items() if name.endswith("-target") and needed} == {
        "replication-target"
    }


def test_the_status_endpoint_reads_its_own_users_from_the_network_of_the_target(templates: Templates) -> None:
    template = templates["observability-target"]
    paths = {parameter.get("Default", "") for parameter in template["Parameters"].values()}
    assert {f"/pm/dev1/{side}/data/status-secret-arn" for side in ("source", "target")} <= paths
    assert "/pm/dev1/target/network/function-security-group-id" in paths
    assert not any(path.endswith(("app-secret-arn", "owner-secret-arn")) for path in paths)


def test_the_migration_has_a_dashboard_of_its_own_beside_the_replication(templates: Templates) -> None:
    names = {
        environment: {one["DashboardName"] for one in resources(template, "AWS::CloudWatch::Dashboard")}
        for environment, template in (
            ("source", templates["observability-source"]),
            ("target", templates["observability-target"]),
        )
    }
    assert names == {
        "source": {"dashboard-source-dev1"},
        "target": {"dashboard-target-dev1", "dashboard-migration-target-dev1"},
    }
    assert "MigrationDashboardUrl" in templates["observability-target"]["Outputs"]
    fields = {side: published(templates[f"observability-{side}"]) for side in names}
    path = "/pm/dev1/{}/observability/migration-dashboard-name"
    assert fields["source"][path.format("source")] == "-"
    assert fields["target"][path.format("target")] == "dashboard-migration-target-dev1"


@pytest.mark.parametrize("phase", ["prepare", "replicate", "shift", "cutover"])
def test_a_replication_that_must_run_is_missed_when_it_is_silent(phase: str) -> None:
    _, stacks = compose(migrationPhase=phase)
    template = Template.from_stack(stacks["observability-target"]).to_json()
    missing = {alarm["AlarmName"]: alarm["TreatMissingData"] for alarm in resources(template, "AWS::CloudWatch::Alarm")}
    runs = {"prepare": set(), "replicate": {"load", "some"}, "shift": {"load", "some"}, "cutover": {"some"}}[phase]
    assert (missing["alarm-replication-silent-target-dev1"] == "breaching") is ("some" in runs)
    assert (missing["alarm-load-lag-target-target-dev1"] == "breaching") is ("load" in runs)
    assert missing["alarm-forward-lag-target-target-dev1"] == "notBreaching"
