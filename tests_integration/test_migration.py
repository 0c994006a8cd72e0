"""Both environments deployed by the real CDK CLI, replicated by `pm`, under a light load: what must be noticed is."""

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pm_core import ReplicationContract, Settings
from pm_rehearsal.audit import audit
from pm_rehearsal.cdk import CdkError, find_project
from pm_rehearsal.deployment import settings_of
from pm_rehearsal.load import read_book
from pm_rehearsal.load.process import LoadProcess
from pm_rehearsal.stage import Stage, StageOptions

PROJECT = find_project(Path(__file__))
SUFFIX = "it"
WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class Running:
    stage: Stage
    load: LoadProcess
    book: Path

    def database(self, environment: str, role: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(**self.stage.deployment.conninfo(environment, role), autocommit=True)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("migration")
    options = StageOptions(project=PROJECT, directory=directory, suffix=SUFFIX)
    with Stage(options) as stage:
        stacks = stage.synthesize()
        stage.bootstrap()
        stage.deploy_registries(stacks)
        stage.cdk.deploy([name for name in stacks if not name.startswith("registry-")])
        accounts = stage.seed(payments=2000)
        book = directory / "book.jsonl"
        with stage.load(book, rate=40, accounts=accounts, seed=1, on_status=lambda _: None) as load:
            load.wait(seconds=1.0)
            stage.engine.run("preflight")
            stage.engine.run("replicate")
            yield Running(stage, load, book)


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {WAIT_SECONDS:.0f} s: {what}"
        time.sleep(0.2)


def test_the_rows_of_the_source_are_on_the_target(running: Running):
    with running.database("target", "cutover") as target:
        until(lambda: target.execute("select count(*) >= 2000 from payments").fetchone() == (True,), "2,000 payments")
    assert running.stage.engine.run("verify")["equal"]


def test_status_endpoint_tells_the_progress_of_the_tasks(running: Running):
    cloud = running.stage.cloud
    name = f"function-migration-status-target-{SUFFIX}"
    url = cloud.client("lambda").get_function_url_config(FunctionName=name)
    assert url["AuthType"] == "AWS_IAM"
    answer = json.loads(cloud.client("lambda").invoke(FunctionName=name, Payload=b"{}")["Payload"].read())
    assert answer["statusCode"] == 200, answer
    status = json.loads(answer["body"])
    assert status["weights"] == {"source": 100, "target": 0}
    assert status["tasks"]["load"]["status"] == "running"
    assert "public.payments" in {table["table"] for table in status["tasks"]["load"]["tables"]}


def test_an_update_pauses_the_running_task_and_resumes_it(running: Running):
    replication = ReplicationContract.parse(running.stage.deployment.parameters(), suffix=SUFFIX, environment="target")
    dms = running.stage.cloud.client("dms")

    def task() -> dict[str, Any]:
        filters = [{"Name": "replication-task-arn", "Values": [replication.load_task_arn]}]
        found: dict[str, Any] = dms.describe_replication_tasks(Filters=filters)["ReplicationTasks"][0]
        return found

    for environment in ("source", "target"):
        with running.database(environment, "cutover") as connection:
            connection.execute("set role pm_owner")
            connection.execute("create table public.vouchers (id bigint primary key)")
    tables = Settings.parse(settings_of(PROJECT, suffix=SUFFIX)).tables
    before = task()
    running.stage.deploy_with({"tables": [*tables, "public.vouchers"]}, "replication-target")
    after = task()
    assert before["Status"] == after["Status"] == "running"
    assert before["ReplicationTaskArn"] == after["ReplicationTaskArn"]
    assert "vouchers" in after["TableMappings"]
    running.stage.deploy_with({}, "replication-target")
    assert task()["Status"] == "running"
    tags = dms.list_tags_for_resource(ResourceArn=replication.load_task_arn)["TagList"]
    assert not any("resume" in tag["Key"] for tag in tags)


def test_deploying_again_changes_nothing(running: Running):
    lines: list[str] = []
    stacks = running.stage.synthesize()
    running.stage.cdk.deploy(stacks, on_line=lines.append)
    assert sum("(no changes)" in line for line in lines) == len(stacks)


def test_one_stack_without_its_inputs_names_the_missing_parameter(running: Running, tmp_path: Path):
    alone = settings_of(PROJECT, suffix="alone")
    cdk = type(running.stage.cdk)(
        project=PROJECT,
        assembly=tmp_path / "cdk.out",
        environment=running.stage.cloud.environment,
        log=tmp_path / "cdk.log",
    )
    cdk.synth(alone)
    with pytest.raises(CdkError, match="/pm/alone/source/network/"):
        cdk.deploy(["data-source"])


def test_verify_and_audit_name_a_row_that_is_missing_on_the_target(running: Running):
    with running.database("target", "cutover") as target:
        target.execute("set role pm_owner")
        row = target.execute("select id from payments order by id limit 1 offset 700").fetchone()
        assert row is not None
        # What no application may do: past the fence, as a replication session.
        with psycopg.connect(**running.stage.deployment.conninfo("target", "dms"), autocommit=True) as damaging:
            damaging.execute("set session_replication_role = replica")
            entries = damaging.execute("delete from ledger_entries where payment_id = %s returning id", row).fetchall()
            damaging.execute("delete from payments where id = %s", row)
        answer = running.stage.engine.ask("verify")
        found = audit(
            read_book(running.book),
            source=running.stage.deployment.conninfo("source", "cutover"),
            target=running.stage.deployment.conninfo("target", "cutover"),
            drain_seconds=1.0,
        )
    assert answer.exit_code == 1
    mismatches = {table["table"]: table["mismatches"] for table in answer.facts["tables"]}
    assert mismatches["public.payments"] == [f"id={row[0]}"]
    assert mismatches["public.ledger_entries"] == [f"id={number}" for (number,) in entries]
    named = {(one.table, one.key) for one in found.differences}
    assert ("public.payments", f"id {row[0]}") in named

    repair(running, int(row[0]))
    assert running.stage.engine.run("verify")["equal"]


def repair(running: Running, payment: int) -> None:
    login = running.stage.deployment.conninfo("target", "dms")
    with running.database("source", "dms") as source, psycopg.connect(**login, autocommit=True) as target:
        target.execute("set session_replication_role = replica")
        for table, key in (("payments", "id"), ("ledger_entries", "payment_id")):
            for (row,) in source.execute(f"select to_jsonb(t) from {table} t where {key} = %s", (payment,)):
                target.execute(
                    f"insert into {table} select * from jsonb_populate_record(null::{table}, %s)", (json.dumps(row),)
                )


@pytest.mark.parametrize("role", ["app", "cutover"])
def test_plain_sql_on_the_closed_side_gets_an_error_from_the_database(running: Running, role: str):
    with running.database("target", role) as closed:
        if role == "cutover":
            closed.execute("set role pm_owner")
        with pytest.raises(psycopg.Error, match="sealed") as refused:
            closed.execute("update payments set refunded_amount = refunded_amount")
    assert refused.value.sqlstate == "PF001"


def test_a_second_engine_is_refused_and_told_who_is_first(running: Running):
    with running.database("source", "cutover") as first:
        first.execute("set application_name = 'the first engine'")
        first.execute("select pg_advisory_lock(7743)")
        answer = running.stage.engine.ask("cutover")
    assert answer.exit_code == 1
    assert "the first engine" in answer.facts["error"]
    assert "\n" not in answer.facts["error"]


def test_an_unknown_table_is_named_with_those_that_exist(running: Running):
    answer = running.stage.engine.ask("verify", "--table", "public.nothing")
    assert answer.exit_code in (1, 2)
    assert "public.nothing" in answer.facts["error"]
    assert "public.payments" in answer.facts["error"]


def test_an_unknown_suffix_is_named_with_those_that_exist(running: Running):
    answer = running.stage.engine.ask("status", "--suffix", "other")
    assert answer.exit_code in (1, 2)
    assert "other" in answer.facts["error"]
    assert SUFFIX in answer.facts["error"]


def test_a_dry_run_moves_nothing(running: Running):
    answer = running.stage.engine.run("cutover", "--dry-run")
    assert answer["result"] == "ready"
    assert running.stage.engine.run("status")["writer"]["open"] == "source"


def test_a_dead_data_mover_shows_as_growing_lag_and_stops_the_cutover(running: Running):
    """Last of this module: replication does not come back."""
    stage = running.stage
    contract = ReplicationContract.parse(stage.deployment.parameters(), suffix=SUFFIX, environment="target")
    stop_mover(stage.cloud.endpoint, contract.load_task_arn)

    def lag() -> float:
        tasks = {task["name"]: task for task in stage.engine.run("status")["tasks"]}
        return float(tasks["load"]["target_lag_seconds"] or 0.0)

    until(lambda: lag() > 3.0, "lag over 3 s")
    first = lag()
    until(lambda: lag() > first, "growing lag")
    answer = stage.engine.ask("cutover")
    assert answer.exit_code == 1, answer.lines
    assert stage.engine.run("status")["writer"]["open"] == "source"
    snapshot = running.load.stop()
    assert snapshot.failed == 0, snapshot.last_failure


def stop_mover(endpoint: str, task_arn: str) -> None:
    """Kill the task's data mover without its knowing."""
    request = urllib.request.Request(  # noqa: S310 - 127.0.0.1
        endpoint,
        data=json.dumps({"ReplicationTaskArn": task_arn}).encode(),
        headers={
            "X-Amz-Target": "AmazonDMSv20160101.PmStopMover",
            "Content-Type": "application/x-amz-json-1.1",
            "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dms/aws4_request",
        },
    )
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - as above
