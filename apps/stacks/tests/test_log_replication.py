"""The audit and data stacks together: where transaction logs go in which phase."""

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from pm_core import Environment, Settings
from pm_stacks.audit import AuditStack
from pm_stacks.data import DataStack
from pm_stacks.observability import ObservabilityStack

CONTEXT = json.loads((Path(__file__).parents[3] / "cdk.json").read_text())["context"]


def settings(phase: str) -> Settings:
    return Settings.parse({"environmentSuffix": "t1", "domain": "pay.acme.test", "migrationPhase": phase})


def data(environment: Environment, phase: str) -> dict[str, Any]:
    app = cdk.App(context=CONTEXT)
    template: dict[str, Any] = Template.from_stack(
        DataStack(app=app, environment=environment, settings=settings(phase))
    ).to_json()
    return template


def rules(template: dict[str, Any]) -> list[str]:
    return [
        rule["Id"]
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::S3::Bucket"
        for rule in resource["Properties"].get("ReplicationConfiguration", {}).get("Rules", [])
    ]


def reads_the_target(template: dict[str, Any]) -> bool:
    return any("/target/" in str(parameter.get("Default")) for parameter in template["Parameters"].values())


@pytest.mark.parametrize("environment", ["source", "target"])
def test_audit_replica_lives_in_the_replica_region(environment: Environment) -> None:
    wanted = settings("prepare")
    stack = AuditStack(app=cdk.App(context=CONTEXT), environment=environment, settings=wanted)
    assert stack.region == wanted.replica_region != wanted.region


def test_logs_are_audited_at_once_and_follow_the_payments_from_phase_replicate_on() -> None:
    prepared = data("source", "prepare")
    assert rules(prepared) == ["audit"]
    assert not reads_the_target(prepared)
    for phase in ("replicate", "shift", "cutover", "complete"):
        assert rules(data("source", phase)) == ["audit", "migration"], phase


def test_source_reads_the_targets_bucket_and_key_only_for_the_migration() -> None:
    template = data("source", "replicate")
    read = sorted(
        str(parameter["Default"])
        for parameter in template["Parameters"].values()
        if "/target/" in str(parameter.get("Default"))
    )
    assert read == ["/pm/t1/target/data/key-arn", "/pm/t1/target/data/log-bucket"]


def test_target_never_changes_with_the_phase_but_in_its_tags() -> None:
    def untagged(template: dict[str, Any]) -> str:
        for resource in template["Resources"].values():
            resource.get("Properties", {}).pop("Tags", None)
        return json.dumps(template, sort_keys=True)

    assert rules(data("target", "replicate")) == ["audit"]
    assert untagged(data("target", "prepare")) == untagged(data("target", "replicate"))


@pytest.mark.parametrize("environment", ["source", "target"])
def test_consumers_learn_both_buckets(environment: Environment) -> None:
    published = {
        resource["Properties"]["Name"].rpartition("/")[2]: resource["Properties"]["Value"]
        for resource in data(environment, "prepare")["Resources"].values()
        if resource["Type"] == "AWS::SSM::Parameter"
    }
    assert "Ref" in published["log-bucket"]
    assert published["replica-bucket"] == {
        "Fn::Join": ["", [f"bucket-audit-{environment}-t1-", {"Ref": "AWS::AccountId"}]]
    }


@pytest.mark.parametrize("environment", ["source", "target"])
def test_late_copies_are_noticed_where_s3_says_so(environment: Environment) -> None:
    audit = AuditStack(app=cdk.App(context=CONTEXT), environment=environment, settings=settings("prepare"))
    (late,) = Template.from_stack(audit).find_resources("AWS::CloudWatch::Alarm").values()
    watched = {one["Name"]: one["Value"] for one in late["Properties"]["Dimensions"]}
    (copied,) = [
        (resource["Properties"]["BucketName"], rule)
        for resource in data(environment, "prepare")["Resources"].values()
        if resource["Type"] == "AWS::S3::Bucket"
        for rule in resource["Properties"].get("ReplicationConfiguration", {}).get("Rules", [])
    ]
    assert (watched["SourceBucket"], watched["RuleId"]) == (copied[0], copied[1]["Id"])
    (destination,) = Template.from_stack(audit).find_resources(
        "AWS::S3::Bucket",
        {
            "Properties": {
                "BucketName": {"Fn::Join": ["", [f"bucket-audit-{environment}-t1-", {"Ref": "AWS::AccountId"}]]}
            }
        },
    )
    assert watched["DestinationBucket"] == {"Ref": destination}


@pytest.mark.parametrize(("environment", "phase"), [("source", "prepare"), ("source", "shift"), ("target", "shift")])
def test_every_rule_s_failures_are_watched(environment: Environment, phase: str) -> None:
    stack = ObservabilityStack(app=cdk.App(context=CONTEXT), environment=environment, settings=settings(phase))
    watched = [
        next(one["Value"] for one in alarm["Properties"]["Dimensions"] if one["Name"] == "RuleId")
        for alarm in Template.from_stack(stack).find_resources("AWS::CloudWatch::Alarm").values()
        if alarm["Properties"].get("MetricName") == "OperationsFailedReplication"
    ]
    assert sorted(watched) == rules(data(environment, phase))


def test_operators_can_ask_for_the_replication_and_copy_what_is_older() -> None:
    outputs = data("source", "replicate")["Outputs"]
    assert {
        "AuditReplicationStatusCommand",
        "LogReplicationRulesCommand",
        "MigrationReplicationStatusCommand",
        "ReplicateExistingLogsCommand",
    } <= outputs.keys()
