"""One stack for a construct, with the feature flags of the real deployment."""

import json
from pathlib import Path

import aws_cdk as cdk
import pytest
from hypothesis import settings

_CDK_JSON = Path(__file__).parents[3] / "cdk.json"

# A busy machine is no failure of the code.
settings.register_profile("pm-replication", deadline=None)
settings.load_profile("pm-replication")


@pytest.fixture(scope="module")
def stack() -> cdk.Stack:
    context = json.loads(_CDK_JSON.read_text())["context"]
    return cdk.Stack(cdk.App(context=context), "Stack", env=cdk.Environment(region="us-east-1"))
