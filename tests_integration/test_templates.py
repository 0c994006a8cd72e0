"""What no template of either environment may say, and what every one says, whoever wrote the construct."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from api_values import CALLS, listed_values
from both_apps import composed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

import pm_source_app
import pm_target_app
from pm_core import SHARED_TIERS, stack_id
from pm_delivery.assembly import Template as StackTemplate
from pm_delivery.checks import producers, unmet
from pm_payments.server import DEADLINE_SECONDS
from pm_rehearsal.leftovers import LISTERS, PARTS

STACK_IDS = sorted([*pm_source_app.STACK_IDS, *pm_target_app.STACK_IDS])
# The other one is as long as a suffix may be: a name that does not fit is refused when it is made.
SUFFIX, OTHER_SUFFIX = "alpha", "omega000000"
SETTINGS = {"domain": "payments.acme.test", "account": "123456789012", "migrationPhase": "replicate"}

Template = dict[str, Any]
Templates = dict[str, Template]

# Names that AWS fixes for the whole account (rule 8); a setting leaves them out where they exist already.
FIXED_NAMES = {"dms-vpc-role", "dms-cloudwatch-logs-role"}
# Actions that name no resource: the service authorization reference lists no type for them, or, for network interfaces,
# what they are about does not exist yet.
WITHOUT_RESOURCES = {
    "cloudformation:ListStacks",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:GetMetricData",
    "cloudwatch:GetMetricStatistics",
    "dms:DescribeConnections",
    "dms:DescribeEndpoints",
    "dms:DescribeReplicationInstances",
    "dms:DescribeReplicationTasks",
    "dms:DescribeTableStatistics",
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
    "ecr:GetAuthorizationToken",
    "ecs:ListTasks",  # but for one container instance; across a cluster, the condition ecs:cluster narrows it
    "elasticloadbalancing:DescribeTargetHealth",
    "kms:GenerateRandom",
    "secretsmanager:GetRandomPassword",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}


def synthesize(suffix: str, *, only: str | None = None, **more: Any) -> dict[str, Any]:
    """Template and tags of every stack that is selected, by its id."""
    app = composed(SETTINGS | {"environmentSuffix": suffix} | more, only=only)
    return {stack.id: stack for stack in app.synth().stacks}


@pytest.fixture(scope="module")
def artifacts() -> dict[str, Any]:
    return synthesize(SUFFIX)


@pytest.fixture(scope="module")
def templates(artifacts: dict[str, Any]) -> Templates:
    return {name: artifact.template for name, artifact in artifacts.items()}


@pytest.fixture(scope="module")
def other_templates() -> Templates:
    return {name: artifact.template for name, artifact in synthesize(OTHER_SUFFIX).items()}


def resources(templates: Templates) -> Iterator[tuple[str, str, Template]]:
    """Every resource as (where, type, resource)."""
    for name, template in templates.items():
        for logical_id, resource in template["Resources"].items():
            yield f"{name}/{logical_id}", resource["Type"], resource


def values(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value below ``node`` that is no container, with its path."""
    if isinstance(node, dict):
        for key, inner in node.items():
            yield from values(inner, (*path, key))
    elif isinstance(node, list):
        for inner in node:
            yield from values(inner, path)
    else:
        yield path, node


def statements(resource: Template) -> Iterator[Template]:
    """Every IAM statement of a resource, wherever it is."""
    todo: list[Any] = [resource.get("Properties", {})]
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            if "Effect" in node and ("Action" in node or "NotAction" in node):
                yield node
            todo.extend(node.values())
        elif isinstance(node, list):
            todo.extend(node)


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_every_stack_of_both_environments_is_made(templates: Templates) -> None:
    assert sorted(templates) == STACK_IDS
    assert {name for name in templates if "-" not in name} == set(SHARED_TIERS)


def test_stacks_share_parameters_and_nothing_else(templates: Templates) -> None:
    for name, template in templates.items():
        assert "Fn::ImportValue" not in json.dumps(template), name
        assert not any("Export" in output for output in template.get("Outputs", {}).values()), name


def test_nothing_outlives_its_stack(templates: Templates) -> None:
    for where, _, resource in resources(templates):
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            assert resource.get(policy, "Delete") == "Delete", f"{where} {policy}"


def test_whatever_a_template_makes_is_looked_for_after_a_destroy(templates: Templates) -> None:
    watched = synthesize(SUFFIX, only="observability-*", alarmMail="operators@acme.test")
    every = templates | {f"{name} with mail": artifact.template for name, artifact in watched.items()}
    kinds = {kind for _, kind, _ in resources(every)}
    # A custom resource is a call; what it makes is a resource of another type.
    assert {kind for kind in kinds if not kind.startswith("Custom::")} - {*LISTERS, *PARTS} == set()
    assert set(PARTS.values()) <= set(LISTERS)


def test_no_password_is_written_down(templates: Templates) -> None:
    for where, kind, resource in resources(templates):
        for path, value in values(resource.get("Properties", {})):
            if re.search(r"(?i)password|secretstring$|accesskey", path[-1]) and isinstance(value, str):
                # What a generated secret is made of, and references, hold no password.
                generated = kind == "AWS::SecretsManager::Secret" and "GenerateSecretString" in path
                assert generated or value.startswith("{{resolve:secretsmanager:"), f"{where} {'.'.join(path)}"


def test_no_role_may_do_everything(templates: Templates) -> None:
    for where, _, resource in resources(templates):
        for statement in statements(resource):
            if statement["Effect"] == "Allow":
                assert "NotAction" not in statement, where
                for action in as_list(statement["Action"]):
                    service, _, verb = str(action).partition(":")
                    key_policy = resource["Type"] == "AWS::KMS::Key" and action == "kms:*"
                    assert key_policy or (service != "*" and verb != "*"), f"{where}: {action}"


def test_resources_are_named_where_the_service_lets_them_be(templates: Templates) -> None:
    for where, kind, resource in resources(templates):
        # In the policy of a key or a queue `*` is that resource itself.
        if kind in {"AWS::KMS::Key", "AWS::ECR::Repository"}:
            continue
        for statement in statements(resource):
            if statement["Effect"] == "Allow" and "*" in as_list(statement.get("Resource", [])):
                wide = set(as_list(statement["Action"])) - WITHOUT_RESOURCES
                assert not wide, f"{where}: {sorted(wide)} on every resource"


def test_the_world_reaches_https_and_its_redirect_only(templates: Templates) -> None:
    opened = set()
    for where, kind, resource in resources(templates):
        properties = resource.get("Properties", {})
        rules = properties.get("SecurityGroupIngress", []) if kind == "AWS::EC2::SecurityGroup" else []
        if kind == "AWS::EC2::SecurityGroupIngress":
            rules = [properties]
        for rule in rules:
            if rule.get("CidrIp") == "0.0.0.0/0" or rule.get("CidrIpv6") == "::/0":
                assert rule["FromPort"] == rule["ToPort"], where
                opened.add(rule["FromPort"])
    assert opened == {80, 443}


def test_security_groups_name_groups_of_ours_and_no_addresses(templates: Templates) -> None:
    for where, kind, resource in resources(templates):
        properties = resource.get("Properties", {})
        rules = properties.get("SecurityGroupIngress", []) if kind == "AWS::EC2::SecurityGroup" else []
        if kind == "AWS::EC2::SecurityGroupIngress":
            rules = [properties]
        for rule in rules:
            assert "SourceSecurityGroupId" in rule or rule.get("CidrIp") == "0.0.0.0/0", f"{where}: {rule}"


def as_delivered(name: str, body: Template) -> StackTemplate:
    return StackTemplate(stack=name, name=f"pm-{name}-{SUFFIX}", region="", prefix=f"/pm/{SUFFIX}/", body=body)


@given(order=st.permutations(STACK_IDS))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_stack_is_deployed_once_what_it_reads_is_there_and_names_the_missing_tier_before(
    order: list[str], templates: Templates
) -> None:
    waiting = [as_delivered(name, templates[name]) for name in order]
    parameters: dict[str, str] = {}
    deployed: set[str] = set()
    while waiting:
        stuck = []
        for template in waiting:
            needed = {stack_id(*reversed(address.split("/"))) for address in producers(template)}
            problems = unmet(template, parameters)
            assert {
                problem.rpartition(": deploy ")[2].removesuffix(" first") for problem in problems
            } == needed - deployed
            if problems:
                stuck.append(template)
            else:
                parameters |= template.published
                deployed.add(template.stack)
        assert len(stuck) < len(waiting), "no order deploys these"
        waiting = stuck


# Properties that hold a resource's own name, or the name of what it belongs to; not what AWS or PostgreSQL named.
OWN_NAME = re.compile(
    r"(?!.*(Hosted|Metric|Attribute|Dns|Schema|Engine|Namespace|CACertificate|DBName|DatabaseName|ServiceName$|SetIdentifier))"
    r"\w*(Name|Identifier)"
)


def own_names(template: Template) -> Iterator[tuple[str, str]]:
    for logical_id, resource in template["Resources"].items():
        for key, value in resource.get("Properties", {}).items():
            if isinstance(value, str) and OWN_NAME.fullmatch(key):
                yield f"{logical_id}.{key}", value


def test_every_name_carries_the_suffix(templates: Templates) -> None:
    for name, template in templates.items():
        for where, value in own_names(template):
            assert SUFFIX in value or value in FIXED_NAMES or "payments.acme.test" in value, f"{name}/{where}: {value}"


def test_two_suffixes_share_no_name(templates: Templates, other_templates: Templates) -> None:
    def all_names(every: Templates) -> set[str]:
        return {value for template in every.values() for _, value in own_names(template)}

    shared = all_names(templates) & all_names(other_templates)
    assert {name for name in shared if "payments.acme.test" not in name} <= FIXED_NAMES


def test_both_suffixes_differ_in_nothing_else(templates: Templates, other_templates: Templates) -> None:
    """The suffix is a name and never a decision, so what was rehearsed under one is what is deployed under another."""
    for name, template in templates.items():
        other = json.dumps(other_templates[name]).replace(OTHER_SUFFIX, SUFFIX)
        assert json.dumps(shape(template)) == json.dumps(shape(json.loads(other))), name


def shape(template: Template) -> Template:
    """A template without what depends on the content of assets."""
    text = re.sub(r"[0-9a-f]{64}", "<asset>", json.dumps(template))
    text = re.sub(r'("Definition": ")[0-9a-f]{16}', r"\1<hash>", text)  # of what holds names
    # The ids of SSM template parameters hold a hash of the parameter's path, and so of the suffix.
    ids = {found: f"<parameter {index}>" for index, found in enumerate(sorted(json.loads(text).get("Parameters", {})))}
    for found in ids:
        text = text.replace(found, re.sub(r"[0-9A-F]{8}(?=\w*$)", "", found))
    return dict(json.loads(text))


def every_command(templates: Templates) -> Iterator[tuple[str, str]]:
    for name, template in templates.items():
        for output, body in template.get("Outputs", {}).items():
            if output.endswith(("Command", "Procedure")):
                yield f"{name}.{output}", rendered(body["Value"])


def rendered(value: Any) -> str:
    """An output's value as the operator sees it, with ``VALUE`` for what AWS fills in."""
    if isinstance(value, str):
        return value
    if "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return str(separator).join(rendered(part) for part in parts) if isinstance(parts, list) else "VALUE"
    if "Fn::Sub" in value:
        text = value["Fn::Sub"]
        return re.sub(r"\$\{[^}]+\}", "VALUE", text if isinstance(text, str) else text[0])
    return "VALUE"


def test_commands_in_outputs_are_commands(templates: Templates) -> None:
    found = dict(every_command(templates))
    assert len(found) >= 20
    for name, command in found.items():
        result = subprocess.run(["/bin/sh", "-n", "-c", command], capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"{name}: {command}\n{result.stderr}"
        assert shlex.split(command)[0] in {"aws", "docker", "pm", "cdk", "psql", "curl", "dig"}, f"{name}: {command}"


def test_the_runbook_is_in_the_outputs(templates: Templates) -> None:
    outputs = {f"{name}.{output}" for name, template in templates.items() for output in template.get("Outputs", {})}
    for wanted in (
        "replication-target.LoadTaskArn",
        "replication-target.ForwardTaskArn",
        "replication-target.ReverseTaskArn",
        "replication-target.RollbackProcedure",
        "traffic-source.TrafficRollbackCommand",
        "traffic-target.TrafficRollbackCommand",
        "traffic-source.Weight0Command",
        "traffic-target.Weight100Command",
        "compute-source.HealthEndpoint",
        "compute-target.HealthEndpoint",
        "compute-source.HealthCommand",
        "compute-target.HealthCommand",
        "observability-source.DashboardUrl",
        "observability-target.DashboardUrl",
        "observability-target.MigrationDashboardUrl",
        "observability-target.StatusEndpoint",
        "data-source.ReplicateExistingLogsCommand",
        "operator-target.RemoteCommand",
        "operator-target.RunTaskCommand",
    ):
        assert wanted in outputs
    assert {f"{name}.NextCommand" for name in templates} <= outputs


def test_values_are_spelled_as_the_services_take_them(templates: Templates) -> None:
    seen = set()
    for where, _, resource in resources(templates):
        kind = resource["Type"]
        for path, value, allowed in listed_values(kind, resource.get("Properties", {})) if kind in CALLS else ():
            seen.add((kind, path))
            assert value in allowed, f"{where}{path}"
    assert {kind for kind, _ in seen} == set(CALLS)


@pytest.mark.parametrize("key", ["Environment", "MigrationPhase", "CostCenter"])
def test_whatever_can_be_tagged_is(templates: Templates, key: str) -> None:
    tagged = 0
    for where, _, resource in resources(templates):
        tags = resource.get("Properties", {}).get("Tags")
        if isinstance(tags, list) and tags and "Key" in tags[0]:
            assert key in {tag["Key"] for tag in tags}, where
            tagged += 1
    assert tagged > 50


@pytest.mark.parametrize("stack", STACK_IDS)
def test_template_is_as_reviewed(stack: str, templates: Templates, snapshot: SnapshotAssertion) -> None:
    """A change shows in the review; `pytest tests_integration/test_templates.py --snapshot-update` keeps it."""
    text = re.sub(r"[0-9a-f]{64}", "<asset>", json.dumps(templates[stack]))
    # What a stack is made from: a release changes that everywhere, and a new CDK shows where it changes something else.
    text = re.sub(r'(\\"(?:aws-cdk-lib|constructs)\\": \\")[^"\\]+', r"\1<version>", text)
    text = re.sub(r"\d+\.\d+\.\d+\+tree", "<version>", text)
    reviewed = json.loads(text)
    assert reviewed == snapshot(extension_class=JSONSnapshotExtension)


def test_a_load_balancer_keeps_what_the_service_still_holds(templates: Templates) -> None:
    """A request waits for the writer while it moves; the balancer breaks those that are open when its delay ends."""
    delays = [
        float(attribute["Value"])
        for template in templates.values()
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::ElasticLoadBalancingV2::TargetGroup"
        for attribute in resource["Properties"]["TargetGroupAttributes"]
        if attribute["Key"] == "deregistration_delay.timeout_seconds"
    ]
    assert len(delays) == 2
    assert min(delays) > DEADLINE_SECONDS
