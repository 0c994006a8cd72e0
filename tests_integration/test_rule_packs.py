"""What auditors' rule packs and cfn-lint find: nothing that is not acknowledged, one by one, at its construct."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aws_cdk as cdk
import pytest
from both_apps import CONTEXT, composed
from constructs import IConstruct

from pm_core.cdk import acknowledgements
from pm_core.cdk_cli import find_project
from pm_stacks import add_rule_packs

PROJECT = find_project(Path(__file__))
CFN_LINT = shutil.which("cfn-lint") or "cfn-lint"
DEPLOYED = {"environmentSuffix": "alpha", "domain": "payments.acme.test", "account": "123456789012"}
ZONES = {"availabilityZones": ["us-east-1a", "us-east-1b", "us-east-1c"]}
IMPORTED = {
    "hostedZoneId": "Z0123456789ABCDEFGHIJ",
    "certificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-0000-0000-000000000001",
    "replicationCertificateArn": "arn:aws:dms:us-east-1:123456789012:cert:AUTHORITIES",
    "replicationRoles": False,
    "alarmMail": "payments@acme.test",
}
# Whatever makes templates differ: a default deployment, one that moves data, the last phase with everything imported,
# and three zones instead of two.
VARIANTS: dict[str, dict[str, Any]] = {
    "default": CONTEXT["settings"],
    "replicate, three zones": DEPLOYED | {"migrationPhase": "replicate"} | ZONES,
    "complete, imported": DEPLOYED | {"migrationPhase": "complete"} | IMPORTED,
}


@pytest.mark.parametrize("variant", ["replicate, three zones", "complete, imported"])  # default: nox -s synth
def test_cfn_lint_and_cloudformation_s_validation_find_nothing(variant: str, tmp_path: Path) -> None:
    composed(VARIANTS[variant], directory=tmp_path, validated=True).synth()
    templates = sorted(map(str, tmp_path.glob("*.template.json")))
    assert len(templates) == 18
    assert not any("cfn-lint" in json.loads(Path(one).read_text()).get("Metadata", {}) for one in templates)
    found = subprocess.run([CFN_LINT, *templates], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, ""), found.stdout + found.stderr


def test_the_app_has_cloudformation_s_validation_unless_told_otherwise(tmp_path: Path) -> None:
    """A zone's name in a subnet is what it warns of, and what we acknowledge: a trace of it in every report."""

    def found(directory: Path, **variables: str) -> set[str]:
        environment = {name: value for name, value in os.environ.items() if name != "CDK_VALIDATION"}
        context = json.dumps(CONTEXT | {"only": "network-source"})
        environment |= {"CDK_CONTEXT_JSON": context, "CDK_OUTDIR": str(directory)}
        subprocess.run([sys.executable, "-m", "pm_stacks"], env=environment | variables, check=True)
        report = json.loads((directory / "validation-report.json").read_text())
        return {
            violation["ruleName"] for plugin in report["pluginReports"] for violation in plugin["suppressedViolations"]
        }

    assert "W3010" in found(tmp_path / "validated")
    assert "W3010" not in found(tmp_path / "not", CDK_VALIDATION="false")


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """What somebody wrote at a construct."""

    rule: str
    path: str
    reason: str


@pytest.mark.parametrize("variant", ["default", "complete, imported"])
def test_an_acknowledgement_is_about_one_finding_at_one_construct(
    variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the acknowledgements the packs find exactly what was acknowledged: nothing more, nothing twice."""
    noted: list[Acknowledgement] = []

    class Notes:
        def __init__(self, construct: IConstruct) -> None:
            self._path = construct.node.path

        def acknowledge(self, *acknowledged: cdk.Acknowledgment) -> None:
            noted.extend(Acknowledgement(rule=one.id, path=self._path, reason=one.reason) for one in acknowledged)

    only_noted = SimpleNamespace(Acknowledgment=cdk.Acknowledgment, Validations=SimpleNamespace(of=Notes))
    monkeypatch.setattr(acknowledgements, "cdk", only_noted)
    app = composed(VARIANTS[variant], directory=tmp_path)
    add_rule_packs(app)
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        app.synth()
    report = json.loads((tmp_path / "validation-report.json").read_text())
    findings = {
        (violation["ruleName"], construct["constructPath"])
        for plugin in report["pluginReports"]
        for violation in plugin["violations"]
        for construct in violation["violatingConstructs"]
    }
    assert len(noted) > 100
    for acknowledgement in noted:
        about = [
            path
            for rule, path in findings
            if rule == acknowledgement.rule and f"{path}/".startswith(f"{acknowledgement.path}/")
        ]
        assert len(about) == 1, f"{acknowledgement}: about {about}"
        assert len(acknowledgement.reason.split()) > 6, acknowledgement
        assert "  " not in acknowledgement.reason, acknowledgement
    assert len(findings) == len(noted)


def test_nobody_writes_past_the_aspects() -> None:
    """Overrides are applied after every aspect and rule pack: what they write, none of them sees."""
    sources = [*PROJECT.glob("packages/*/src/**/*.py"), *PROJECT.glob("apps/*/src/**/*.py")]
    assert len(sources) > 100
    found = [str(path) for path in sources if re.search(r"\.add_\w*override\(", path.read_text())]
    assert found == []
