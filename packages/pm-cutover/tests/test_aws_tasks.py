"""DMS's rules for starting and stopping; the requests are checked against botocore's own model."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pm_cutover.aws.session import AwsSession
from pm_cutover.aws.tasks import ReplicationTask, mapped_tables, same_position
from pm_cutover.errors import PersonNeededError, RefusedError

ARN = "arn:aws:dms:us-east-1:123456789012:task:ABCDEF"
WHO = {"Filters": [{"Name": "replication-task-arn", "Values": [ARN]}], "WithoutSettings": False}


class Dms:
    """A task whose descriptions and requests are given in order."""

    def __init__(self) -> None:
        session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
        aws = AwsSession(session=session)
        self.stub = Stubber(aws.client("dms"))
        self.task = ReplicationTask(aws=aws, arn=ARN)

    def describes(self, status: str, **more: Any) -> None:
        task = {
            "ReplicationTaskIdentifier": "load",
            "Status": status,
            "MigrationType": "cdc",
            "TableMappings": '{"rules": []}',
            "SourceEndpointArn": "a",
            "TargetEndpointArn": "b",
            "ReplicationInstanceArn": "i",
            **more,
        }
        self.stub.add_response("describe_replication_tasks", {"ReplicationTasks": [task]}, WHO)

    def is_taken_over(self) -> None:
        self.stub.add_response("remove_tags_from_resource", {}, {"ResourceArn": ARN, "TagKeys": ["pm:resume"]})

    def starts(self, how: str, **more: str) -> None:
        self.is_taken_over()
        expected = {"ReplicationTaskArn": ARN, "StartReplicationTaskType": how, **more}
        self.stub.add_response("start_replication_task", {}, expected)


@pytest.fixture
def dms() -> Iterator[Dms]:
    dms = Dms()
    with dms.stub:
        yield dms
    dms.stub.assert_no_pending_responses()


@pytest.mark.parametrize("fault", [True, False])
def test_a_task_that_was_deleted_says_what_makes_it_again(dms: Dms, fault: bool) -> None:
    if fault:
        dms.stub.add_client_error("describe_replication_tasks", service_error_code="ResourceNotFoundFault")
    else:
        dms.stub.add_response("describe_replication_tasks", {"ReplicationTasks": []}, WHO)
    with pytest.raises(RefusedError, match=f"{ARN} does not exist: deploy the replication stack"):
        dms.task.state()


def test_a_task_that_never_ran_is_started(dms: Dms) -> None:
    dms.describes("ready")
    dms.starts("start-replication")
    dms.describes("starting")
    dms.describes("running")
    dms.task.start_or_resume()


def test_a_task_that_ran_before_is_resumed(dms: Dms) -> None:
    dms.describes("stopped")
    dms.starts("resume-processing")
    dms.describes("running")
    dms.task.start_or_resume()


def test_a_running_task_is_left_alone(dms: Dms) -> None:
    dms.describes("running")
    dms.describes("running")
    dms.task.start_or_resume()


def test_a_failed_full_load_is_never_resumed(dms: Dms) -> None:
    dms.describes("failed", MigrationType="full-load-and-cdc", LastFailureMessage="disk full")
    with pytest.raises(PersonNeededError, match=r"disk full.*drop the target's replicated tables"):
        dms.task.start_or_resume()


def test_a_start_that_fails_says_why(dms: Dms) -> None:
    dms.describes("ready")
    dms.starts("start-replication")
    dms.describes("failed", LastFailureMessage="no slot")
    with pytest.raises(RefusedError, match="failed right after its start: no slot"):
        dms.task.start_or_resume()


def test_a_cdc_task_starts_anew_from_another_position(dms: Dms) -> None:
    dms.describes("stopped", CdcStartPosition="0/100")
    dms.starts("start-replication", CdcStartPosition="0/200")
    dms.describes("running", CdcStartPosition="0/200")
    dms.task.start_at("0/200")


def test_a_cdc_task_that_stopped_after_a_start_from_there_keeps_its_progress(dms: Dms) -> None:
    dms.describes("stopped", CdcStartPosition="00000000/00000200")
    dms.starts("resume-processing")
    dms.describes("running")
    dms.task.start_at("0/200")


def test_a_cdc_task_that_runs_from_there_is_left_alone(dms: Dms) -> None:
    dms.describes("running", CdcStartPosition="0/200")
    dms.describes("running", CdcStartPosition="0/200")
    dms.task.start_at("0/200")


def test_a_cdc_task_that_runs_from_elsewhere_is_refused(dms: Dms) -> None:
    dms.describes("running", CdcStartPosition="0/100")
    with pytest.raises(RefusedError, match="runs from 0/100, not from 0/200"):
        dms.task.start_at("0/200")


def test_stopping_waits_until_it_has_stopped(dms: Dms) -> None:
    dms.describes("running")
    dms.is_taken_over()
    dms.stub.add_response("stop_replication_task", {}, {"ReplicationTaskArn": ARN})
    dms.describes("stopping")
    dms.describes("stopped")
    dms.task.stop()


def test_a_task_that_stopped_by_itself_meanwhile_counts_as_stopped(dms: Dms) -> None:
    dms.describes("running")
    dms.is_taken_over()
    dms.stub.add_client_error("stop_replication_task", service_error_code="InvalidResourceStateFault")
    dms.describes("stopped")
    dms.task.stop()


def test_a_task_that_a_stack_update_has_paused_stays_stopped_for_good(dms: Dms) -> None:
    dms.describes("stopped")
    dms.is_taken_over()
    dms.task.stop()


def connection(status: str) -> dict[str, Any]:
    return {"Connections": [{"Status": status, "LastFailureMessage": "no pg_hba.conf entry"}]}


@pytest.mark.parametrize(("status", "said"), [("successful", ""), ("failed", "no pg_hba.conf entry")])
def test_an_endpoint_test_brings_the_reason_of_its_failure(dms: Dms, status: str, said: str) -> None:
    dms.describes("ready")
    dms.stub.add_response("test_connection", {}, {"ReplicationInstanceArn": "i", "EndpointArn": "a"})
    dms.stub.add_response("describe_connections", connection(status))
    assert dms.task.test_endpoint("a") == said


def test_endpoints_that_were_tested_are_not_tested_again(dms: Dms) -> None:
    dms.describes("ready")
    dms.stub.add_response("describe_connections", connection("successful"))
    dms.stub.add_response("describe_connections", connection("successful"))
    dms.task.prove_endpoints()


def test_an_endpoint_that_was_never_tested_is_tested_before_a_move_needs_it(dms: Dms) -> None:
    dms.describes("ready")
    dms.stub.add_response("describe_connections", connection("successful"))
    dms.stub.add_client_error("describe_connections", service_error_code="ResourceNotFoundFault")
    dms.stub.add_response("test_connection", {}, {"ReplicationInstanceArn": "i", "EndpointArn": "b"})
    dms.stub.add_response("describe_connections", connection("failed"))
    with pytest.raises(RefusedError, match=r"cannot connect by b: no pg_hba\.conf entry; see `pm preflight`"):
        dms.task.prove_endpoints()


def rule(schema: str, table: str, action: str = "include") -> dict[str, Any]:
    return {
        "rule-type": "selection",
        "rule-action": action,
        "object-locator": {"schema-name": schema, "table-name": table},
    }


def test_mapped_tables_are_those_of_the_rules_without_the_marker() -> None:
    rules = [rule("public", "payments"), rule("pm_control", "marker"), {"rule-type": "transformation"}]
    assert mapped_tables(json.dumps({"rules": rules})) == ("public.payments",)


@pytest.mark.parametrize("wrong", [rule("public", "%"), rule("public", "payments", "exclude")])
def test_a_mapping_that_is_not_explicit_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RefusedError, match="not an explicit include"):
        mapped_tables(json.dumps({"rules": [wrong]}))


def test_positions_are_compared_by_value() -> None:
    assert same_position("16/B374D848", "00000016/b374d848")
    assert not same_position("16/B374D848", "16/B374D849")
    assert not same_position("", "")
    assert not same_position("checkpoint:V1", "checkpoint:V1")
