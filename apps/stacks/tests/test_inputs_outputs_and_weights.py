"""What the tiers' stacks tell each other and the operator, and what they must leave alone."""

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from pm_core import CONTRACTS, Settings, ZoneContract
from pm_stacks.certificate import CertificateStack
from pm_stacks.compute import ComputeStack
from pm_stacks.observability import ObservabilityStack
from pm_stacks.registry import RegistryStack
from pm_stacks.replication import ReplicationStack
from pm_stacks.traffic import TrafficStack
from pm_stacks.zone import ZoneStack

_CONTEXT = json.loads((Path(__file__).parents[3] / "cdk.json").read_text())["context"]
SETTINGS: dict[str, Any] = {"environmentSuffix": "dev1", "domain": "payments.acme.test"}

Templates = dict[str, dict[str, Any]]


def compose(**settings: Any) -> tuple[cdk.App, dict[str, cdk.Stack]]:
    app = cdk.App(context=_CONTEXT)
    parsed = Settings.parse(SETTINGS | settings)
    stacks: list[cdk.Stack] = [
        ZoneStack(app=app, settings=parsed),
        CertificateStack(app=app, settings=parsed),
        ReplicationStack(app=app, settings=parsed),
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
    # A module-level map of who publishes what would repeat the stacks; the parameters' paths say it.
    paths = {path for template in templates.values() for path in published(template)}
    for contract in CONTRACTS:
        if contract.tier in ("network", "data"):
            continue
        environments = {"zone": ("source",), "certificate": ("source",), "replication": ("target",)}.get(
            contract.tier, ("source", "target")
        )
        for environment in environments:
            assert {contract.path("dev1", environment, field) for field in contract.field_names()} <= paths


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
    parameter = template["Parameters"][record["Weight"]["Ref"]]
    assert parameter["Default"] == f"/pm/dev1/source/zone/weight-{environment}"
    assert record["SetIdentifier"] == environment


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
    app = cdk.App(context=_CONTEXT)
    stack = ReplicationStack(app=app, settings=Settings.parse(SETTINGS | {"databaseSslMode": ssl_mode}))
    endpoints = resources(Template.from_stack(stack).to_json(), "AWS::DMS::Endpoint")
    assert {endpoint["SslMode"] for endpoint in endpoints} == {dms}


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


@pytest.mark.parametrize("key", ["Environment", "MigrationPhase", "CostCenter"])
def test_resources_carry_the_tags(templates: Templates, key: str) -> None:
    for resource_type in ("AWS::ECS::Service", "AWS::ECR::Repository", "AWS::DMS::Endpoint", "AWS::SNS::Topic"):
        for template in templates.values():
            for properties in resources(template, resource_type):
                assert key in {tag["Key"] for tag in properties["Tags"]}


def test_in_the_last_phase_the_target_knows_nothing_of_the_source(templates: Templates) -> None:
    _, stacks = compose(migrationPhase="complete")
    after = Template.from_stack(stacks["compute-target"]).to_json()
    paths = {parameter.get("Default", "") for parameter in after["Parameters"].values()}
    # The certificate and the zone serve both environments and stay.
    assert {path for path in paths if "/source/" in path} == {"/pm/dev1/source/certificate/certificate-arn"}
    before = {parameter.get("Default", "") for parameter in templates["compute-target"]["Parameters"].values()}
    assert any("/source/data/" in path for path in before)
