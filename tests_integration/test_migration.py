"""Both environments deployed by the real CDK CLI, replicated by `pm`, under a light load: what must be noticed is."""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pm_core import DataContract, OperatorContract, ReplicationContract, Settings
from pm_core.cdk_cli import find_project
from pm_core.tags import PAUSED_TASK
from pm_rehearsal.audit import audit
from pm_rehearsal.cdk import CdkCli, CdkError
from pm_rehearsal.cloud import inherited_environment
from pm_rehearsal.deployment import settings_of
from pm_rehearsal.images import push
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


def until(condition: Callable[[], bool], what: str, *, seconds: float = WAIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.2)


def test_the_rows_of_the_source_are_on_the_target(running: Running) -> None:
    with running.database("target", "cutover") as target:
        until(lambda: target.execute("select count(*) >= 2000 from payments").fetchone() == (True,), "2,000 payments")
    assert running.stage.engine.run("verify")["equal"]


def status_endpoint(running: Running, event: dict[str, Any]) -> dict[str, Any]:
    function = f"function-migration-status-target-{SUFFIX}"
    invoked = running.stage.cloud.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
    answer: dict[str, Any] = json.loads(invoked["Payload"].read())
    return answer


def test_status_endpoint_tells_writer_tasks_and_validation(running: Running) -> None:
    cloud = running.stage.cloud
    url = cloud.client("lambda").get_function_url_config(FunctionName=f"function-migration-status-target-{SUFFIX}")
    assert url["AuthType"] == "AWS_IAM"
    answer = status_endpoint(running, {})
    assert answer["statusCode"] == 200, answer
    status = json.loads(answer["body"])
    assert status["writer"] == {
        "open": "source",
        "finished": False,
        "source": {"installed": True, "word": 10, "epoch": 1, "state": "open"},
        "target": {"installed": True, "word": 2, "epoch": 0, "state": "sealed"},
    }
    assert status["weights"] == {"source": 100, "target": 0}
    load = status["tasks"]["load"]
    assert load["status"] == "running"
    assert load["source_lag_seconds"] is not None
    assert load["validation"]["failed"] == load["validation"]["suspended"] == 0
    assert "public.payments" in {table["table"] for table in load["tables"]}
    assert {status["tasks"][task]["status"] for task in ("forward", "reverse")} == {"ready"}


def test_the_dashboard_of_the_migration_gets_the_same_as_a_text(running: Running) -> None:
    text = status_endpoint(running, {"widgetContext": {}})["markdown"]
    assert "**Writer** source (source open at epoch 1, target sealed at epoch 0)" in text
    assert "| load | running | 100 % |" in text


def test_every_row_that_was_replicated_is_validated(running: Running) -> None:
    def states() -> dict[str, str]:
        tables = json.loads(status_endpoint(running, {})["body"])["tasks"]["load"]["tables"]
        return {table["table"]: table["validation"] for table in tables}

    # Payments go on, so that some rows of the tables that they write are always still under way.
    good = {"Validated", "Pending records"}
    until(lambda: {states()[f"public.{name}"] for name in ("payments", "ledger_entries")} <= good, "validated")
    found = states()
    assert found["public.accounts"] == "Validated"
    assert found["pm_control.marker"] in good


def test_what_dms_keeps_for_itself_is_out_of_the_payments_way(running: Running) -> None:
    for environment, made in (("source", set[str]()), ("target", {"pm_control"})):
        with running.database(environment, "cutover") as connection:
            found = connection.execute("select schemaname from pg_tables where tablename like 'awsdms%'").fetchall()
        assert {schema for (schema,) in found} == made, environment


def load_task(running: Running) -> dict[str, Any]:
    """As DMS describes it, with its tags."""
    dms, arn = running.stage.cloud.client("dms"), replication(running).load_task_arn
    filters = [{"Name": "replication-task-arn", "Values": [arn]}]
    task: dict[str, Any] = dms.describe_replication_tasks(Filters=filters)["ReplicationTasks"][0]
    tags = dms.list_tags_for_resource(ResourceArn=arn)["TagList"]
    return task | {"Tags": {tag["Key"]: tag["Value"] for tag in tags}}


def test_an_update_pauses_the_running_task_and_resumes_it(running: Running) -> None:
    for environment in ("source", "target"):
        with running.database(environment, "cutover") as connection:
            connection.execute("set role pm_owner")
            connection.execute("create table public.vouchers (id bigint primary key)")
    tables = Settings.parse(settings_of(PROJECT, suffix=SUFFIX)).tables
    before = load_task(running)
    running.stage.deploy_with({"tables": [*tables, "public.vouchers"]}, "replication-target")
    after = load_task(running)
    assert before["Status"] == after["Status"] == "running"
    assert before["ReplicationTaskArn"] == after["ReplicationTaskArn"]
    assert "vouchers" in after["TableMappings"]
    running.stage.deploy_with({}, "replication-target")
    assert load_task(running)["Status"] == "running"
    assert PAUSED_TASK not in load_task(running)["Tags"]


def test_an_update_that_fails_after_the_pause_ends_with_the_task_running(running: Running) -> None:
    cloudformation, stack = running.stage.cloud.client("cloudformation"), f"pm-replication-target-{SUFFIX}"
    template = cloudformation.get_template(StackName=stack)["TemplateBody"]
    for resource in template["Resources"].values():
        if resource["Type"] in ("Custom::PausedTasks", "Custom::ResumedTasks"):
            resource["Properties"]["Definition"] = "another"
        if resource["Type"] == "AWS::DMS::ReplicationTask" and resource["Properties"]["MigrationType"] == "cdc":
            resource["Properties"]["ReplicationTaskSettings"] = "no JSON"
    parameters = [{"ParameterKey": name, "UsePreviousValue": True} for name in template["Parameters"]]
    began = datetime.now(UTC)
    cloudformation.update_stack(
        StackName=stack,
        TemplateBody=json.dumps(template),
        Parameters=parameters,
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )

    def status() -> str:
        return str(cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"])

    until(lambda: not status().endswith("_IN_PROGRESS"), "the update to end")
    assert status() == "UPDATE_ROLLBACK_COMPLETE"
    assert load_task(running)["Status"] == "running"
    assert PAUSED_TASK not in load_task(running)["Tags"]
    assert load_task(running)["ReplicationTaskStats"]["StartDate"] > began, "it was never paused"


def test_one_stack_without_its_inputs_names_the_missing_parameter(running: Running, tmp_path: Path) -> None:
    alone = settings_of(PROJECT, suffix="alone")
    cdk = CdkCli(
        project=PROJECT,
        assembly=tmp_path / "cdk.out",
        environment=running.stage.cloud.environment,
        log=tmp_path / "cdk.log",
    )
    cdk.synth(alone, only="data-source")
    with pytest.raises(CdkError, match="/pm/alone/source/network/"):
        cdk.deploy(["data-source"])


@contextmanager
def missing_on_the_target(running: Running, *, number: int) -> Iterator[tuple[int, list[int]]]:
    """A payment and its ledger entries that the target lost; afterwards they are back, and all is validated anew."""
    with running.database("target", "cutover") as target:
        row = target.execute("select id from payments order by id limit 1 offset %s", (number,)).fetchone()
    assert row is not None
    # What no application may do: past the fence, as a replication session.
    with psycopg.connect(**running.stage.deployment.conninfo("target", "dms"), autocommit=True) as damaging:
        damaging.execute("set session_replication_role = replica")
        entries = damaging.execute("delete from ledger_entries where payment_id = %s returning id", row).fetchall()
        damaging.execute("delete from payments where id = %s", row)
    yield row[0], [number for (number,) in entries]
    repair(running, int(row[0]))
    running.stage.cloud.client("dms").reload_tables(
        ReplicationTaskArn=replication(running).load_task_arn,
        TablesToReload=[{"SchemaName": "public", "TableName": name} for name in ("payments", "ledger_entries")],
        ReloadOption="validate-only",
    )


def repair(running: Running, payment: int) -> None:
    login = running.stage.deployment.conninfo("target", "dms")
    with running.database("source", "dms") as source, psycopg.connect(**login, autocommit=True) as target:
        target.execute("set session_replication_role = replica")
        for table, key in (("payments", "id"), ("ledger_entries", "payment_id")):
            for (row,) in source.execute(f"select to_jsonb(t) from {table} t where {key} = %s", (payment,)):
                target.execute(
                    f"insert into {table} select * from jsonb_populate_record(null::{table}, %s)", (json.dumps(row),)
                )


def replication(running: Running) -> ReplicationContract:
    return ReplicationContract.parse(running.stage.deployment.parameters(), suffix=SUFFIX, environment="target")


def alarm_state(running: Running, name: str) -> str:
    answer = running.stage.cloud.client("cloudwatch").describe_alarms(
        AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
    )
    (alarm,) = answer["MetricAlarms"] + answer["CompositeAlarms"]
    return str(alarm["StateValue"])


def test_verify_and_audit_name_a_row_that_is_missing_on_the_target(running: Running) -> None:
    with missing_on_the_target(running, number=700) as (payment, entries):
        answer = running.stage.engine.ask("verify")
        found = audit(
            read_book(running.book),
            source=running.stage.deployment.conninfo("source", "cutover"),
            target=running.stage.deployment.conninfo("target", "cutover"),
            drain_seconds=1.0,
        )
    assert answer.exit_code == 1
    mismatches = {table["table"]: table["mismatches"] for table in answer.facts["tables"]}
    assert mismatches["public.payments"] == [f"id={payment}"]
    assert mismatches["public.ledger_entries"] == [f"id={number}" for number in entries]
    named = {(one.table, one.key) for one in found.differences}
    assert ("public.payments", f"id {payment}") in named
    assert running.stage.engine.run("verify")["equal"]


def test_a_target_whose_rows_differ_is_loaded_anew_as_the_runbook_says(running: Running) -> None:
    dms, arn = running.stage.cloud.client("dms"), replication(running).load_task_arn

    def status() -> str:
        filters = [{"Name": "replication-task-arn", "Values": [arn]}]
        (task,) = dms.describe_replication_tasks(Filters=filters)["ReplicationTasks"]
        return str(task["Status"])

    def names(view: str, column: str, schema: str, pattern: str = "%") -> str:
        rows = target.execute(
            f"select string_agg(format('%%I.%%I', schemaname, {column}), ', ') from {view}"
            f" where schemaname = %s and {column} like %s",
            (schema, pattern),
        ).fetchone()
        assert rows is not None
        return str(rows[0])

    with running.database("target", "dms") as target:
        target.execute("delete from ledger_entries where payment_id in (select id from payments order by id limit 50)")
        assert running.stage.engine.ask("verify").exit_code == 1
        dms.stop_replication_task(ReplicationTaskArn=arn)
        until(lambda: status() == "stopped", "the end of the task")
        target.execute(f"drop table {names('pg_tables', 'tablename', 'pm_control', 'awsdms_%')}")
        target.execute("set role pm_owner")
        target.execute(f"drop table {names('pg_tables', 'tablename', 'public')} cascade")
        refused = running.stage.engine.ask("replicate")
        assert 'relation "ledger_transaction_id" already exists' in refused.facts["error"]
        target.execute(f"drop sequence {names('pg_sequences', 'sequencename', 'public')}")
    assert running.stage.engine.run("replicate")["already"] is False
    assert running.stage.engine.run("verify")["equal"]


def test_rows_that_differ_ring_and_stop_moves_until_they_are_validated_anew(running: Running) -> None:
    alarm, unsafe = f"alarm-load-validation-target-{SUFFIX}", f"alarm-migration-unsafe-target-{SUFFIX}"
    with missing_on_the_target(running, number=900) as (payment, _):
        until(lambda: alarm_state(running, alarm) == "ALARM", "the alarm")
        until(lambda: alarm_state(running, unsafe) == "ALARM", "the composite")
        load = json.loads(status_endpoint(running, {})["body"])["tasks"]["load"]
        assert "Mismatched records" in load["validation"]["states"]
        assert load["validation"]["failed"] > 0
        with running.database("target", "cutover") as target:
            failures = """select "KEY" from pm_control.awsdms_validation_failures_v2 where "TABLE_NAME" = 'payments'"""
            assert str(payment) in str(target.execute(failures).fetchall())
        for verb in (("shift", "5"), ("cutover",)):
            refused = running.stage.engine.ask(*verb)
            assert refused.exit_code == 1
            assert unsafe in refused.facts["error"]
    # The alarm looks at the last minute.
    until(lambda: alarm_state(running, unsafe) == "OK", "the end of the alarm", seconds=3 * WAIT_SECONDS)
    assert running.stage.engine.run("verify")["equal"]


@pytest.mark.parametrize("role", ["app", "cutover"])
def test_plain_sql_on_the_closed_side_gets_an_error_from_the_database(running: Running, role: str) -> None:
    with running.database("target", role) as closed:
        if role == "cutover":
            closed.execute("set role pm_owner")
        with pytest.raises(psycopg.Error, match="sealed") as refused:
            closed.execute("update payments set refunded_amount = refunded_amount")
    assert refused.value.sqlstate == "PF001"


def test_a_second_engine_is_refused_and_told_who_is_first(running: Running) -> None:
    with running.database("source", "cutover") as first:
        first.execute("set application_name = 'the first engine'")
        first.execute("select pg_advisory_lock(7743)")
        answer = running.stage.engine.ask("cutover")
    assert answer.exit_code == 1
    assert "the first engine" in answer.facts["error"]
    assert "\n" not in answer.facts["error"]


def test_an_unknown_table_is_named_with_those_that_exist(running: Running) -> None:
    answer = running.stage.engine.ask("verify", "--table", "public.nothing")
    assert answer.exit_code in (1, 2)
    assert "public.nothing" in answer.facts["error"]
    assert "public.payments" in answer.facts["error"]


def test_an_unknown_suffix_is_named_with_those_that_exist(running: Running) -> None:
    answer = running.stage.engine.ask("status", "--suffix", "other")
    assert answer.exit_code in (1, 2)
    assert "other" in answer.facts["error"]
    assert SUFFIX in answer.facts["error"]


def test_a_dry_run_moves_nothing(running: Running) -> None:
    answer = running.stage.engine.run("cutover", "--dry-run")
    assert answer["result"] == "ready"
    assert running.stage.engine.run("status")["writer"]["open"] == "source"


def test_a_task_inside_the_network_answers_as_pm_does_here(running: Running) -> None:
    here, there = (running.stage.engine.run("status", *where) for where in ((), ("--remote",)))
    assert here.keys() == there.keys()
    for part in ("suffix", "region", "writer", "weights", "alarms", "stacks"):
        assert there[part] == here[part], part
    assert [task["status"] for task in there["tasks"]] == [task["status"] for task in here["tasks"]]
    for side in ("source", "target"):
        assert [slot["name"] for slot in there["slots"][side]] == [slot["name"] for slot in here["slots"][side]]
    assert '"error"' not in json.dumps(there)


@pytest.mark.parametrize("verb", [("shift", "101"), ("verify", "--table", "public.nothing"), ("finish",)])
def test_a_refusal_has_the_same_words_and_exit_code_in_a_task(running: Running, verb: tuple[str, ...]) -> None:
    here, there = (running.stage.engine.ask(*verb, *where) for where in ((), ("--remote",)))
    assert (there.exit_code, there.facts.get("error")) == (here.exit_code, here.facts.get("error"))
    assert here.exit_code in (1, 2)


def test_evidence_of_a_task_is_in_the_bucket(running: Running) -> None:
    data = DataContract.parse(running.stage.deployment.parameters(), suffix=SUFFIX, environment="target")
    s3 = running.stage.cloud.client("s3")

    def kept() -> set[str]:
        found = s3.list_objects_v2(Bucket=data.log_bucket, Prefix="evidence/").get("Contents", [])
        return {one["Key"] for one in found}

    before = kept()
    running.stage.engine.run("verify", "--remote", "--table", "public.accounts")
    (key,) = kept() - before
    lines = s3.get_object(Bucket=data.log_bucket, Key=key)["Body"].read().decode().splitlines()
    assert [(line["verb"], line["what"]) for line in map(json.loads, lines)] == [("verify", "compared")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fly",), "fly"),
        (("shift",), "--steps"),
        (("status", "--evidence", "file"), "--evidence names a file on this machine"),
        (("status", "--suffix", "other"), "other"),
    ],
)
def test_a_wrong_command_is_refused_before_a_task_is_started(
    running: Running, arguments: tuple[str, ...], words: str
) -> None:
    before = operator_tasks(running)
    answer = running.stage.engine.ask("--remote", *arguments)
    assert answer.exit_code == 2
    assert any(words in line for line in answer.lines), answer.lines
    assert operator_tasks(running) == before


def operator_tasks(running: Running) -> set[str]:
    """Every task that ever ran `pm`."""
    ecs = running.stage.cloud.client("ecs")
    contract = OperatorContract.parse(running.stage.deployment.parameters(), suffix=SUFFIX, environment="target")
    family = contract.task_definition_arn.rpartition("/")[2].partition(":")[0]
    return {
        arn
        for status in ("RUNNING", "STOPPED")
        for arn in ecs.list_tasks(cluster=contract.cluster_name, family=family, desiredStatus=status)["taskArns"]
    }


def test_ctrl_c_stops_the_task(running: Running) -> None:
    before = operator_tasks(running)
    engine = running.stage.engine
    with remote_pm(running, "status", "--watch", "--json") as process:
        assert process.stdout is not None
        looks = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=WAIT_SECONDS)
    assert [look["suffix"] for look in looks] == [SUFFIX, SUFFIX]
    assert process.returncode == 130
    assert "pm: interrupted; run the same command again to go on" in errors
    (arn,) = operator_tasks(running) - before
    (task,) = running.stage.cloud.client("ecs").describe_tasks(cluster=f"cluster-target-{SUFFIX}", tasks=[arn])["tasks"]
    assert (task["lastStatus"], task["stopCode"]) == ("STOPPED", "UserInitiated")
    assert task["containers"][0]["exitCode"] == 130
    assert engine.run("status")["writer"]["open"] == "source"


@contextmanager
def remote_pm(running: Running, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`pm --remote` as a person runs it, to be interrupted."""
    engine = running.stage.engine
    process = subprocess.Popen(
        [sys.executable, "-m", "pm_cutover", "--remote", *arguments, "--suffix", SUFFIX],
        env={**inherited_environment(), **engine.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_an_image_that_is_not_there_is_named_with_the_commands_that_push_it(running: Running) -> None:
    engine, ecr = running.stage.engine, running.stage.cloud.client("ecr")
    before, repository = operator_tasks(running), f"repository-operator-target-{SUFFIX}"
    tag = running.stage.settings.operator_image_tag
    ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": tag}])
    answer = engine.ask("status", "--remote")
    push(ecr, repository=repository, tag=tag)
    assert answer.exit_code == 1
    assert f"{repository}:{tag} is not in ECR" in answer.facts["error"]
    assert "docker push" in answer.facts["error"]
    assert operator_tasks(running) == before
    assert engine.run("plan", "--remote")["phases"]


def test_a_running_task_does_not_keep_its_stack_from_going(running: Running) -> None:
    stage = running.stage
    with remote_pm(running, "status", "--watch", "--json") as process:
        assert process.stdout is not None
        process.stdout.readline()
        stage.cdk.destroy(["operator-target"])
        _, errors = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 130, errors
    answer = stage.engine.ask("status", "--remote")
    assert answer.exit_code == 1
    assert f"deploy pm-operator-target-{SUFFIX} first" in answer.facts["error"]
    stage.cdk.deploy(["operator-target"])


def test_a_failed_task_reaches_whoever_subscribes_to_the_alarms(running: Running) -> None:
    """Past the real policies of topic and key; DMS tells whichever task it is, and whatever the phase."""
    cloud, task = running.stage.cloud, replication(running).forward_task_arn
    sqs, sns, account = cloud.client("sqs"), cloud.client("sns"), cloud.account
    queue = sqs.create_queue(QueueName="operators")["QueueUrl"]
    subscription = sns.subscribe(
        TopicArn=f"arn:aws:sns:us-east-1:{account}:topic-alarms-target-{SUFFIX}",
        Protocol="sqs",
        Endpoint=f"arn:aws:sqs:us-east-1:{account}:operators",
    )["SubscriptionArn"]
    # Nobody has made the slot that it reads.
    cloud.client("dms").start_replication_task(
        ReplicationTaskArn=task, StartReplicationTaskType="start-replication", CdcStartPosition="0/1"
    )
    told: list[dict[str, Any]] = []

    def heard() -> bool:
        messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        told.extend(json.loads(json.loads(message["Body"])["Message"]) for message in messages)
        return any("failed" in str(event.get("Event Message")) for event in told)

    until(heard, "DMS's event")
    assert f"replication-task-forward-target-{SUFFIX}" in {event.get("SourceId") for event in told}
    sns.unsubscribe(SubscriptionArn=subscription)
    sqs.delete_queue(QueueUrl=queue)


def test_a_dead_data_mover_shows_as_growing_lag_and_stops_the_cutover(running: Running) -> None:
    """Last of this module: replication does not come back."""
    stage = running.stage
    stop_mover(stage.cloud.endpoint, replication(running).load_task_arn)

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


def test_in_the_last_phase_nothing_watches_the_replication_any_more(running: Running) -> None:
    """After the last of this module, which leaves the replication dead: it must ring no longer, and be destroyable."""
    cloud = running.stage.cloud
    running.stage.deploy_with({"migrationPhase": "complete"}, "observability-target")
    alarms = cloud.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmTypes=["MetricAlarm"])
    names = {
        alarm["AlarmName"] for page in alarms for alarm in page["MetricAlarms"] if "-target-" in alarm["AlarmName"]
    }
    assert f"alarm-service-5xx-target-{SUFFIX}" in names
    assert not {name for name in names if name.startswith(("alarm-load-lag", "alarm-replication", "alarm-reverse"))}
    assert cloud.client("dms").describe_event_subscriptions()["EventSubscriptionsList"] == []
    shown = cloud.client("cloudwatch").list_dashboards()["DashboardEntries"]
    assert {entry["DashboardName"] for entry in shown} == {
        f"dashboard-{side}-{SUFFIX}" for side in ("source", "target")
    }


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
