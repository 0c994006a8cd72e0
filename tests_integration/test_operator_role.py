"""The operator task's role and the engine: what is allowed is what is called."""

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from both_apps import composed
from botocore import xform_name

from pm_cutover.aws.archive import PREFIX

# What runs where the person is: it starts the task, and needs that person's permissions.
OUTSIDE = {"operator.py", "task_log.py", "remote.py"}
# boto3's name of a service -> IAM's, where they differ.
IAM_NAMES = {"elbv2": "elasticloadbalancing"}
# What KMS is asked for in the caller's name, by Secrets Manager and by S3.
INDIRECT = {"kms:Decrypt", "kms:GenerateDataKey"}


def engine_modules() -> Iterator[ast.Module]:
    spec = find_spec("pm_cutover")
    assert spec is not None
    assert spec.origin is not None
    for file in sorted(Path(spec.origin).parent.rglob("*.py")):
        if file.name not in OUTSIDE:
            yield ast.parse(file.read_text())


def services(module: ast.Module) -> set[str]:
    """The services that a module has clients of: ``client("dms")``."""
    return {
        str(call.args[0].value)
        for call in ast.walk(module)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "client"
        and call.args
        and isinstance(call.args[0], ast.Constant)
    }


def words(module: ast.Module) -> set[str]:
    """Whatever could be the name of an operation: methods that are called, and what get_paginator is given."""
    found = set()
    for call in ast.walk(module):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            found.add(call.func.attr)
            if call.func.attr == "get_paginator":
                found |= {str(argument.value) for argument in call.args if isinstance(argument, ast.Constant)}
    return found


def called_actions() -> set[str]:
    session = botocore.session.get_session()
    return {
        f"{IAM_NAMES.get(service, service)}:{operation}"
        for module in engine_modules()
        for service in services(module)
        for operation in session.get_service_model(service).operation_names
        if xform_name(operation) in words(module)
    }


@pytest.fixture(scope="module")
def statements() -> list[dict[str, Any]]:
    deployment = {"environmentSuffix": "t1", "domain": "payments.internal"}
    (stack,) = composed(deployment, only="operator-target").synth().stacks
    resources = stack.template["Resources"].values()
    (policy,) = (
        one["Properties"]
        for one in resources
        if one["Properties"].get("ManagedPolicyName") == "policy-operator-task-target-t1"
    )
    return list(policy["PolicyDocument"]["Statement"])


def test_role_allows_what_the_engine_calls_and_nothing_else(statements: list[dict[str, Any]]) -> None:
    allowed: set[str] = set()
    for statement in statements:
        action = statement["Action"]
        allowed |= set(action if isinstance(action, list) else [action])
    assert len(allowed) > 15
    assert allowed - INDIRECT == called_actions()


def test_evidence_goes_where_the_role_lets_it(statements: list[dict[str, Any]]) -> None:
    (keep,) = (statement for statement in statements if statement["Action"] == "s3:PutObject")
    assert keep["Resource"]["Fn::Join"][1][-1] == f"/{PREFIX}*"
