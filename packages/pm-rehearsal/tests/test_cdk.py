"""The CDK CLI, kept from running for ever."""

import json
import time
from pathlib import Path

import pytest

from pm_rehearsal import cdk
from pm_rehearsal.cdk import CdkCli, CdkError


def test_a_cli_that_never_ends_is_ended_although_it_prints_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cdk, "DEPLOY_SECONDS", 4.0)
    (tmp_path / "cdk.json").write_text(json.dumps({"app": "sleep 60"}))
    silent = CdkCli(project=tmp_path, assembly=tmp_path / "cdk.out", environment={}, log=tmp_path / "cdk.log")
    began = time.monotonic()
    with pytest.raises(CdkError, match="cdk synth took longer than 4 s"):
        silent.synth({})
    assert time.monotonic() - began < 30.0
