"""Transaction logs of both environments and their audit replicas: deployed, replicated and destroyed while in use."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from botocore.exceptions import ClientError

from pm_core.cdk import CustomerKey
from pm_core.cdk_cli import find_project
from pm_data import (
    AuditReplica,
    AuditReplicaProps,
    Replica,
    TransactionLogs,
    TransactionLogsProps,
    audit_replica,
    replica_bucket_name,
    replication_role_arn,
)
from pm_rehearsal.cdk import CdkCli
from pm_rehearsal.cloud import EmbeddedCloud
from pm_rehearsal.leftovers import inventory

PROJECT = find_project(Path(__file__))
CONTEXT = json.loads((PROJECT / "cdk.json").read_text())["context"]
SUFFIX, HOME, AWAY, ACCOUNT = "logs", "us-east-1", "us-west-2", "123456789012"
DEADLINE_SECONDS = 20
STACKS = ("audit-source", "audit-target", "data-target", "data-source")


def logs_of(environment: str) -> str:
    return f"bucket-transaction-logs-{environment}-{SUFFIX}-{ACCOUNT}"


def audit_of(environment: str) -> str:
    return f"bucket-audit-{environment}-{SUFFIX}-{ACCOUNT}"


def assemble(directory: Path) -> None:
    """The buckets of both environments as stacks of their own, in the phase in which the logs migrate."""
    app = cdk.App(outdir=str(directory), context=CONTEXT)
    stacks = {
        name: cdk.Stack(
            app, name, env=cdk.Environment(account=ACCOUNT, region=AWAY if name.startswith("audit") else HOME)
        )
        for name in STACKS
    }
    for environment in ("source", "target"):
        AuditReplica(
            stacks[f"audit-{environment}"],
            "Replica",
            props=AuditReplicaProps(environment=environment, suffix=SUFFIX),
        )
        stack = stacks[f"data-{environment}"]
        stack.add_stack_dependency(stacks[f"audit-{environment}"])
        replicas = [audit_replica(environment, SUFFIX, region=AWAY)]
        if environment == "source":
            alias = f"arn:aws:kms:{HOME}:{ACCOUNT}:alias/alias-data-target-{SUFFIX}"
            replicas.append(Replica(rule="migration", bucket=logs_of("target"), region=HOME, key_arn=alias))
            stack.add_stack_dependency(stacks["data-target"])
        TransactionLogs(
            stack,
            "TransactionLogs",
            props=TransactionLogsProps(
                environment=environment,
                suffix=SUFFIX,
                key=CustomerKey(
                    stack, "Key", environment=environment, suffix=SUFFIX, qualifier="data", description="Logs"
                ),
                replicas=replicas,
                replicators=[replication_role_arn("source", SUFFIX)] if environment == "target" else (),
            ),
        )
    app.synth()


@dataclass(frozen=True)
class Account:
    cloud: EmbeddedCloud
    cdk: CdkCli
    before: set[str]

    def put(self, environment: str, key: str) -> str:
        answer = self.cloud.client("s3").put_object(
            Bucket=logs_of(environment),
            Key=key,
            Body=b"a payment",
            ServerSideEncryption="aws:kms",
            SSEKMSKeyId=self.key_of(environment),
        )
        return str(answer["VersionId"])

    def key_of(self, environment: str) -> str:
        kms = self.cloud.client("kms")
        return str(kms.describe_key(KeyId=f"alias/alias-data-{environment}-{SUFFIX}")["KeyMetadata"]["Arn"])

    def head(self, bucket: str, key: str) -> Any:
        region = AWAY if "-audit-" in bucket else HOME
        return self.cloud.client("s3", region=region).head_object(Bucket=bucket, Key=key)

    def holds(self, bucket: str) -> list[str]:
        region = AWAY if "-audit-" in bucket else HOME
        page = self.cloud.client("s3", region=region).list_objects_v2(Bucket=bucket)
        return [item["Key"] for item in page.get("Contents", [])]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    directory = tmp_path_factory.mktemp("logs")
    with EmbeddedCloud() as cloud:
        assembly = directory / "cdk.out"
        cli = CdkCli(project=PROJECT, assembly=assembly, environment=cloud.environment, log=directory / "cdk.log")
        assemble(assembly)
        cli.bootstrap(cloud.account, (HOME, AWAY))
        before = inventory(cloud.client, regions=(HOME, AWAY))
        cli.deploy(STACKS)
        yield Account(cloud, cli, before)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def test_a_log_reaches_the_auditors_and_the_target(account: Account) -> None:
    version = account.put("source", "2026/11/a")
    eventually(lambda: account.head(logs_of("source"), "2026/11/a")["ReplicationStatus"] == "COMPLETED")
    for bucket in (audit_of("source"), logs_of("target")):
        assert account.head(bucket, "2026/11/a")["VersionId"] == version
    account.put("target", "own")
    eventually(lambda: account.holds(audit_of("target")) == ["own"])
    assert account.holds(audit_of("source")) == ["2026/11/a"]
    assert account.head(logs_of("target"), "2026/11/a")["SSEKMSKeyId"] == account.key_of("target")


def test_a_deleted_log_stays_with_the_auditors(account: Account) -> None:
    account.put("source", "deleted")
    eventually(lambda: "deleted" in account.holds(audit_of("source")))
    account.cloud.client("s3").delete_object(Bucket=logs_of("source"), Key="deleted")
    time.sleep(1.5)
    assert "deleted" in account.holds(audit_of("source"))


@pytest.mark.parametrize("wrong", [{}, {"ServerSideEncryption": "aws:kms"}, {"ServerSideEncryption": "AES256"}])
def test_a_log_without_the_environments_key_is_refused(account: Account, wrong: dict[str, str]) -> None:
    for bucket, region in ((logs_of("source"), HOME), (audit_of("source"), AWAY)):
        with pytest.raises(ClientError, match="AccessDenied"):
            account.cloud.client("s3", region=region).put_object(Bucket=bucket, Key="wrong", Body=b"x", **wrong)


def test_nobody_writes_to_the_audit_replica_but_replication(account: Account) -> None:
    alias = f"alias/alias-audit-source-{SUFFIX}"
    key = account.cloud.client("kms", region=AWAY).describe_key(KeyId=alias)["KeyMetadata"]["Arn"]
    with pytest.raises(ClientError, match="AccessDenied"):
        account.cloud.client("s3", region=AWAY).put_object(
            Bucket=audit_of("source"), Key="forged", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key
        )


def test_who_used_a_bucket_is_logged(account: Account) -> None:
    account.put("source", "watched")
    bucket = f"bucket-transaction-logs-access-source-{SUFFIX}-{ACCOUNT}"
    eventually(lambda: account.holds(bucket) != [])
    assert all(key.startswith("transaction-logs/") for key in account.holds(bucket))


def test_names_are_derived_without_a_look_up() -> None:
    stack = cdk.Stack(cdk.App(), "any", env=cdk.Environment(account=ACCOUNT, region=HOME))
    name = stack.resolve(replica_bucket_name("source", SUFFIX))
    assert name == {"Fn::Join": ["", [f"bucket-audit-source-{SUFFIX}-", {"Ref": "AWS::AccountId"}]]}


def test_destroying_leaves_nothing_although_logs_are_written_until_the_end(account: Account) -> None:
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            # First refused, then there is no bucket and no key any more.
            with contextlib.suppress(ClientError):
                account.put("source", f"late/{number}")
            stop.wait(0.05)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        account.cdk.destroy()
    finally:
        stop.set()
        writer.join()
    assert inventory(account.cloud.client, regions=(HOME, AWAY)) - account.before == set()
