"""A weighted record in a zone that stays, shifted behind CloudFormation's back: updated, destroyed and made again."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ssm as ssm

from pm_core.cdk_cli import find_project
from pm_rehearsal.cdk import CdkCli
from pm_rehearsal.cloud import EmbeddedCloud
from pm_rehearsal.leftovers import inventory
from pm_traffic import WeightedEndpoint, WeightedEndpointProps

PROJECT = find_project(Path(__file__))
CONTEXT = json.loads((PROJECT / "cdk.json").read_text())["context"]
SUFFIX, REGION, ACCOUNT, STACK = "kept", "us-east-1", "123456789012", "traffic"
ZONE_NAME, NAME, PARAMETER = "acme.test", "pay.acme.test", "/pm/kept/source/zone/weight-source"
DEADLINE_SECONDS = 60
# Refused while the update runs, after whatever it depends on.
FAILING = {
    "Type": "Custom::Failing",
    "Properties": {"ServiceToken": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:nobody"},
}


def assemble(directory: Path, zone_id: str) -> None:
    app = cdk.App(outdir=str(directory), context=CONTEXT)
    stack = cdk.Stack(app, STACK, env=cdk.Environment(account=ACCOUNT, region=REGION))
    WeightedEndpoint(
        stack,
        "Endpoint",
        props=WeightedEndpointProps(
            environment="source",
            suffix=SUFFIX,
            name=f"endpoint-health-source-{SUFFIX}",
            hosted_zone_id=zone_id,
            record_name=NAME,
            load_balancer_dns_name="lb-1.us-east-1.elb.amazonaws.com",
            weight=ssm.StringParameter.value_for_string_parameter(stack, PARAMETER),
            weight_parameter=PARAMETER,
            ttl_seconds=10,
        ),
    )
    app.synth()


@dataclass(frozen=True)
class Account:
    cloud: EmbeddedCloud
    cdk: CdkCli
    zone_id: str
    before: set[str]

    def keep(self, weight: int) -> None:
        self.cloud.client("ssm").put_parameter(Name=PARAMETER, Value=str(weight), Type="String", Overwrite=True)

    def record(self) -> dict[str, Any] | None:
        answer = self.cloud.client("route53").list_resource_record_sets(HostedZoneId=self.zone_id)
        return next((dict(one) for one in answer["ResourceRecordSets"] if one["Name"] == f"{NAME}."), None)

    def weight(self) -> int:
        record = self.record()
        assert record is not None
        return int(record["Weight"])

    def shift(self, weight: int) -> None:
        """As `pm shift` does: the parameter, then the record."""
        self.keep(weight)
        change = {"Action": "UPSERT", "ResourceRecordSet": {**(self.record() or {}), "Weight": weight}}
        self.cloud.client("route53").change_resource_record_sets(
            HostedZoneId=self.zone_id, ChangeBatch={"Changes": [change]}
        )

    def update(self, *, weight_from: str = PARAMETER, **resources: Any) -> str:
        """The deployed template, with more resources; the stack's status afterwards."""
        cloudformation = self.cloud.client("cloudformation")
        template = cloudformation.get_template(StackName=STACK)["TemplateBody"]
        template["Resources"] |= resources
        parameters = [
            {"ParameterKey": name, "ParameterValue": weight_from}
            if parameter.get("Default") == PARAMETER
            else {"ParameterKey": name, "UsePreviousValue": True}
            for name, parameter in template["Parameters"].items()
        ]
        cloudformation.update_stack(
            StackName=STACK,
            TemplateBody=json.dumps(template),
            Parameters=parameters,
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            status = str(cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"])
            if not status.endswith("_IN_PROGRESS"):
                return status
            assert time.monotonic() < deadline, "the update did not end"
            time.sleep(0.1)

    def logical_id(self) -> str:
        template = self.cloud.client("cloudformation").get_template(StackName=STACK)["TemplateBody"]
        (record,) = (name for name, one in template["Resources"].items() if one["Type"] == "AWS::Route53::RecordSet")
        return str(record)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    directory = tmp_path_factory.mktemp("weights")
    with EmbeddedCloud() as cloud:
        assembly = directory / "cdk.out"
        cli = CdkCli(project=PROJECT, assembly=assembly, environment=cloud.environment, log=directory / "cdk.log")
        zone = cloud.client("route53").create_hosted_zone(Name=ZONE_NAME, CallerReference="kept")["HostedZone"]
        zone_id = zone["Id"].removeprefix("/hostedzone/")
        assemble(assembly, zone_id)
        cli.bootstrap(cloud.account, (REGION,))
        cloud.client("ssm").put_parameter(Name=PARAMETER, Value="100", Type="String")
        before = inventory(cloud.client, regions=(REGION,))
        cli.deploy([STACK])
        yield Account(cloud, cli, zone_id, before)


def test_an_update_that_fails_after_the_record_ends_with_the_weight_in_force(account: Account) -> None:
    account.shift(40)
    failing = {**FAILING, "DependsOn": [account.logical_id()]}
    assert account.update(Failing=failing) == "UPDATE_ROLLBACK_COMPLETE"
    assert account.weight() == 40


def test_a_shift_during_an_update_wins(account: Account) -> None:
    ssm, read_at_the_beginning = account.cloud.client("ssm"), "/read/at/the/beginning"
    ssm.put_parameter(Name=read_at_the_beginning, Value="70", Type="String")
    account.shift(30)
    assert account.update(weight_from=read_at_the_beginning) == "UPDATE_COMPLETE"
    assert account.weight() == 30
    ssm.delete_parameter(Name=read_at_the_beginning)


def test_a_shifted_record_goes_with_its_stack_and_comes_again(account: Account) -> None:
    account.shift(0)
    account.cdk.destroy()
    assert inventory(account.cloud.client, regions=(REGION,)) == account.before
    account.cdk.deploy([STACK])
    assert account.weight() == 0
