"""The aspects refuse what somebody may add next year, however it is written down."""

from collections.abc import Iterator

import aws_cdk as cdk
import pytest
from aspects_rig import AT_REST, errors_in, stack_of
from aws_cdk import aws_elasticache as elasticache
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs

from pm_core.cdk.aspects import apply_aspects


def test_types_of_no_schema_are_left_alone() -> None:
    assert errors_in(stack_of("AWS::Unheard::Of", {})) == []
    assert errors_in(stack_of("Acme::Own::Type", {})) == []
    assert errors_in(stack_of("Custom::Thing", {"ServiceToken": "arn"})) == []


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
