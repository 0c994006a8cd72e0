"""`pm --remote`: what it asks AWS for, shows, and ends with; requests are checked against botocore's own model."""

import os
import re
import signal
from collections.abc import Iterable, Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from pm_core import OperatorContract
from pm_cutover.aws import remote
from pm_cutover.aws.remote import remote_arguments, run_remotely, with_option_last
from pm_cutover.aws.session import AwsSession
from pm_cutover.errors import PersonNeededError, RefusedError, UsageError

CONTRACT = OperatorContract(
    cluster_name="cluster-target-blue",
    task_definition_arn="arn:aws:ecs:us-east-1:111122223333:task-definition/operator:7",
    container_name="pm",
    subnet_ids=("subnet-1", "subnet-2"),
    security_group_id="sg-operator",
    log_group_name="log-group-operator",
    log_stream_prefix="operator",
    repository_name="repository-operator",
    repository_uri="111122223333.dkr.ecr.us-east-1.amazonaws.com/repository-operator",
    image_tag="1.0.0",
)
TASK = "arn:aws:ecs:us-east-1:111122223333:task/cluster-target-blue/0123456789abcdef"
STREAM = {"logGroupName": "log-group-operator", "logStreamName": "operator/pm/0123456789abcdef"}
IMAGE = {"repositoryName": "repository-operator", "imageIds": [{"imageTag": "1.0.0"}]}


class Aws:
    """ECR, ECS and CloudWatch Logs, whose answers are given in order."""

    def __init__(self) -> None:
        session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
        self.aws = AwsSession(session=session)
        self.stubs = {service: Stubber(self.aws.client(service)) for service in ("ecr", "ecs", "logs")}
        self._token: str | None = None
        self._pages = 0

    def has_image(self) -> None:
        self.stubs["ecr"].add_response("describe_images", {"imageDetails": [{"imageDigest": "sha256:0"}]}, IMAGE)

    def takes_task(self, *command: str) -> None:
        expected = {
            "cluster": "cluster-target-blue",
            "taskDefinition": CONTRACT.task_definition_arn,
            "launchType": "FARGATE",
            "count": 1,
            "networkConfiguration": {
                "awsvpcConfiguration": {
                    "subnets": ["subnet-1", "subnet-2"],
                    "securityGroups": ["sg-operator"],
                    "assignPublicIp": "DISABLED",
                }
            },
            "overrides": {
                "containerOverrides": [
                    {"name": "pm", "command": list(command), "environment": [{"name": "COLUMNS", "value": "100"}]}
                ]
            },
            "enableExecuteCommand": False,
            "propagateTags": "TASK_DEFINITION",
            "startedBy": "pm-remote",
            "clientToken": ANY,
        }
        self.stubs["ecs"].add_response("run_task", {"tasks": [{"taskArn": TASK}], "failures": []}, expected)

    def describes(self, status: str, *, exit_code: int | None = None, reason: str = "", why: str = "") -> None:
        container: dict[str, Any] = {"name": "pm"} | ({} if exit_code is None else {"exitCode": exit_code})
        task = {
            "lastStatus": status,
            "containers": [container | ({"reason": why} if why else {})],
            **({"stoppedReason": reason} if reason else {}),
        }
        self.stubs["ecs"].add_response("describe_tasks", {"tasks": [task], "failures": []})

    def knows_nothing(self) -> None:
        failure = {"arn": TASK, "reason": "MISSING"}
        self.stubs["ecs"].add_response("describe_tasks", {"tasks": [], "failures": [failure]})

    def logs(self, *lines: str) -> None:
        """One read: a page with lines, if there are some, and the page that shows that there are no more."""
        if lines or self._token is None:
            self._pages += 1
            self._page(list(lines), f"f/{self._pages}")
        self._page([], str(self._token))

    def logs_and_then_breaks(self, line: str) -> None:
        self._pages += 1
        self._page([line], f"f/{self._pages}")
        self.stubs["logs"].add_client_error("get_log_events", "ServiceUnavailableException", http_status_code=503)

    def has_no_log(self) -> None:
        self.stubs["logs"].add_client_error("get_log_events", "ResourceNotFoundException")

    def stops(self) -> None:
        self.stubs["ecs"].add_response(
            "stop_task", {}, {"cluster": "cluster-target-blue", "task": TASK, "reason": "Ctrl-C at pm --remote"}
        )

    def run(self, *arguments: str) -> int:
        return run_remotely(self.aws, CONTRACT, arguments, columns=100)

    def _page(self, lines: list[str], token: str) -> None:
        events = [{"timestamp": 1, "message": line, "ingestionTime": 1} for line in lines]
        expected = {**STREAM, "startFromHead": True, **({} if self._token is None else {"nextToken": self._token})}
        answer = {"events": events, "nextForwardToken": token, "nextBackwardToken": "b"}
        self.stubs["logs"].add_response("get_log_events", answer, expected)
        self._token = token


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    monkeypatch.setattr(remote, "LOOK_SECONDS", 0.0)
    made = Aws()
    for stub in made.stubs.values():
        stub.activate()
    yield made
    for stub in made.stubs.values():
        stub.assert_no_pending_responses()


def test_output_and_exit_code_are_those_of_the_task(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    aws.has_image()
    aws.takes_task("verify", "--json")
    aws.describes("PENDING")
    aws.has_no_log()
    aws.describes("RUNNING")
    aws.logs("wait: comparing", "err: two rows differ")
    aws.describes("RUNNING")
    aws.logs()
    aws.describes("RUNNING")
    aws.logs('out+ {"equal": ', "out: false}")
    aws.describes("DEPROVISIONING", exit_code=1)
    aws.logs('evidence: {"what": "compared"}', "end: 1")
    assert aws.run("verify", "--json") == 1
    said = capsys.readouterr()
    assert said.out == '{"equal": false}\n'
    assert said.err.splitlines() == [
        f"task {TASK} runs it: "
        "aws logs tail log-group-operator --since 1d --log-stream-names operator/pm/0123456789abcdef",
        "the task is pending",
        "comparing",
        "two rows differ",
    ]


def test_the_end_of_the_log_is_waited_for(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    aws.has_image()
    aws.takes_task("plan")
    aws.describes("STOPPED", exit_code=0)
    aws.logs()
    aws.describes("STOPPED", exit_code=0)
    aws.logs()
    aws.describes("STOPPED", exit_code=0)
    aws.logs("out: done", "end: 0")
    assert aws.run("plan") == 0
    assert capsys.readouterr().out == "done\n"


def test_a_log_whose_end_does_not_come_is_said_to_lack_it(
    aws: Aws, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "REST_SECONDS", 0.0)
    aws.has_image()
    aws.takes_task("plan")
    aws.describes("STOPPED", exit_code=0)
    aws.logs("out+ half")
    assert aws.run("plan") == 0
    said = capsys.readouterr()
    assert said.out == "half\n"
    assert "the end of the log has not come within 0 s: aws logs tail" in said.err


def test_a_log_that_is_deleted_under_the_task_leaves_its_exit_code(
    aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.has_image()
    aws.takes_task("status", "--watch")
    aws.describes("RUNNING")
    aws.logs("out: first look")
    aws.describes("DEACTIVATING")
    aws.has_no_log()
    aws.describes("STOPPED", exit_code=130)
    aws.has_no_log()
    assert aws.run("status", "--watch") == 130
    said = capsys.readouterr()
    assert said.out == "first look\n"
    assert "the task's log was deleted, with its stack perhaps, before its end was read" in said.err


@pytest.mark.parametrize("code", ["ImageNotFoundException", "RepositoryNotFoundException"])
def test_a_missing_image_is_told_before_anything_starts_with_the_commands_that_push_it(aws: Aws, code: str) -> None:
    aws.stubs["ecr"].add_client_error("describe_images", code)
    image = re.escape(f"{CONTRACT.repository_uri}:1.0.0")
    with pytest.raises(
        RefusedError, match=rf"{image} is not in ECR.*docker build -f \S+ -t {image} .*docker push {image}"
    ):
        aws.run("plan")


def test_no_room_for_the_task_is_told_with_ecs_s_reason(aws: Aws) -> None:
    aws.has_image()
    failure = {"reason": "Capacity is unavailable at this time."}
    aws.stubs["ecs"].add_response("run_task", {"tasks": [], "failures": [failure]})
    with pytest.raises(RefusedError, match=r"did not take the task \(Capacity is unavailable at this time\.\): wait"):
        aws.run("plan")


def test_a_task_that_never_began_is_told_with_the_reason_for_its_stop(aws: Aws) -> None:
    aws.has_image()
    aws.takes_task("plan")
    aws.describes("PROVISIONING")
    aws.has_no_log()
    aws.describes("STOPPED", reason="Task failed to start", why="CannotPullContainerError: not found")
    aws.has_no_log()
    with pytest.raises(
        RefusedError, match=r"before pm began \(Task failed to start; CannotPullContainerError: not found\)"
    ) as e:
        aws.run("plan")
    assert any("aws logs tail" in note for note in e.value.__notes__)


def test_a_task_that_does_not_begin_in_time_is_stopped(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "START_SECONDS", -1.0)
    aws.has_image()
    aws.takes_task("plan")
    aws.describes("PROVISIONING")
    aws.has_no_log()
    aws.stops()
    with pytest.raises(RefusedError, match="for the task to start, in vain: it was PROVISIONING and is stopped now"):
        aws.run("plan")


def test_a_task_that_ecs_does_not_know_for_a_moment_is_left_alone(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "START_SECONDS", -1.0)
    aws.has_image()
    aws.takes_task("replicate")
    aws.knows_nothing()
    aws.has_no_log()
    aws.describes("RUNNING")
    aws.logs()
    aws.knows_nothing()
    aws.logs()
    aws.describes("DEPROVISIONING")
    aws.logs()
    aws.describes("STOPPED", exit_code=0)
    aws.logs("end: 0")
    assert aws.run("replicate") == 0


def test_a_task_that_has_spoken_has_begun_whatever_ecs_says(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "START_SECONDS", -1.0)
    aws.has_image()
    aws.takes_task("replicate")
    aws.describes("ACTIVATING")
    aws.logs("wait: loading")
    aws.describes("STOPPED", exit_code=0)
    aws.logs("end: 0")
    assert aws.run("replicate") == 0


def test_the_log_tells_the_exit_code_of_a_task_that_ecs_has_forgotten(
    aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.has_image()
    aws.takes_task("verify")
    aws.describes("RUNNING")
    aws.logs("err: comparing")
    aws.knows_nothing()
    aws.logs("out: they differ", "end: 1")
    assert aws.run("verify") == 1
    said = capsys.readouterr()
    assert said.out == "they differ\n"
    assert "ECS tells no exit code of the task; 1 is what pm wrote last in its log" in said.err


@pytest.mark.parametrize(("begun", "unknown"), [(True, "has ended, and how"), (False, "ever began")])
def test_a_task_that_ecs_never_knows_again_is_for_a_person_and_not_stopped(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, begun: bool, unknown: str
) -> None:
    monkeypatch.setattr(remote, "LOST_SECONDS", -1.0)
    monkeypatch.setattr(remote, "START_SECONDS", -1.0)
    aws.has_image()
    aws.takes_task("cutover")
    if begun:
        aws.describes("RUNNING")
        aws.logs("err: moving the writer")
    aws.knows_nothing()
    aws.logs()
    with pytest.raises(PersonNeededError, match=f"nobody can say whether pm {unknown}: read its log") as e:
        aws.run("cutover")
    assert any("the task may go on: aws logs tail" in note for note in e.value.__notes__)


def test_a_task_whose_host_failed_is_not_said_to_have_changed_nothing(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "REST_SECONDS", 0.0)
    aws.has_image()
    aws.takes_task("cutover")
    aws.describes("RUNNING")
    aws.logs("err: moving the writer")
    aws.describes("STOPPED", reason="Host unavailable")
    aws.logs()
    with pytest.raises(PersonNeededError, match=r"after pm began \(Host unavailable\), and how pm ended is not"):
        aws.run("cutover")


def test_an_answer_that_is_older_than_the_end_changes_nothing(aws: Aws) -> None:
    aws.has_image()
    aws.takes_task("plan")
    aws.describes("STOPPED", exit_code=0)
    aws.logs()
    aws.describes("RUNNING")
    aws.logs("end: 0")
    assert aws.run("plan") == 0


def test_a_killed_task_says_so_and_keeps_its_exit_code(
    aws: Aws, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "REST_SECONDS", 0.0)
    aws.has_image()
    aws.takes_task("verify")
    aws.describes("STOPPED", exit_code=137, why="OutOfMemoryError: Container killed due to memory usage")
    aws.logs("err: comparing")
    assert aws.run("verify") == 137
    assert "ended from outside (exit code 137: OutOfMemoryError: Container killed" in capsys.readouterr().err


def test_ctrl_c_stops_the_task_and_waits_for_its_end(
    aws: Aws, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.has_image()
    aws.takes_task("status", "--watch")
    aws.describes("RUNNING")
    aws.logs("out: first look")
    aws.stops()
    aws.describes("DEACTIVATING")
    aws.logs("err: pm: interrupted; run the same command again to go on", "end: 130")
    aws.describes("STOPPED", exit_code=130)
    aws.logs()
    press_ctrl_c_when_shown(monkeypatch, "first look")
    assert aws.run("status", "--watch") == 130
    said = capsys.readouterr()
    assert said.out == "first look\n"
    assert "stopping the task" in said.err
    assert "pm: interrupted; run the same command again to go on" in said.err


def test_ctrl_c_before_the_task_began_stops_it_too(
    aws: Aws, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.has_image()
    aws.takes_task("cutover")
    aws.describes("PENDING")
    aws.has_no_log()
    aws.stops()
    aws.describes("STOPPED", reason="Ctrl-C at pm --remote")
    aws.has_no_log()
    start = remote.OperatorTasks.start

    def interrupted(*arguments: Any, **named: Any) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        return start(*arguments, **named)

    monkeypatch.setattr(remote.OperatorTasks, "start", interrupted)
    assert aws.run("cutover") == 130
    assert "interrupted before the task began; nothing was changed" in capsys.readouterr().err


def test_a_second_ctrl_c_leaves_the_task_to_itself_and_says_where_its_log_is(
    aws: Aws, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.has_image()
    aws.takes_task("status", "--watch")
    aws.describes("RUNNING")
    aws.logs("out: first look")
    aws.stops()
    aws.describes("DEACTIVATING")
    aws.logs("out: second look")
    press_ctrl_c_when_shown(monkeypatch, "look")
    with pytest.raises(KeyboardInterrupt):
        aws.run("status", "--watch")
    assert f"no longer waiting for task {TASK}: aws logs tail" in capsys.readouterr().err


def test_a_task_whose_output_nobody_reads_is_stopped(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    aws.has_image()
    aws.takes_task("status", "--watch")
    aws.describes("RUNNING")
    aws.logs("out: first look")
    aws.stops()

    def closed(_: remote.Screen, lines: Iterable[str]) -> None:
        assert list(lines) == ["out: first look"]
        raise BrokenPipeError

    monkeypatch.setattr(remote.Screen, "show", closed)
    with pytest.raises(BrokenPipeError):
        aws.run("status", "--watch")


def press_ctrl_c_when_shown(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    show = remote.Screen.show

    def shown(self: remote.Screen, lines: Iterable[str]) -> None:
        new = list(lines)
        show(self, new)
        if any(text in line for line in new):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(remote.Screen, "show", shown)


def test_an_aws_that_does_not_answer_for_a_while_is_asked_again(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    aws.has_image()
    aws.takes_task("plan")
    aws.stubs["ecs"].add_client_error("describe_tasks", "ServerException", http_status_code=500)
    aws.describes("RUNNING", exit_code=0)
    aws.logs("end: 0")
    assert aws.run("plan") == 0
    assert "AWS does not answer" in capsys.readouterr().err


def test_lines_are_shown_although_the_next_page_does_not_come(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    aws.has_image()
    aws.takes_task("plan")
    aws.describes("RUNNING")
    aws.logs_and_then_breaks("out: done")
    aws.describes("STOPPED", exit_code=0)
    aws.logs("end: 0")
    assert aws.run("plan") == 0
    assert capsys.readouterr().out == "done\n"


def test_an_aws_that_refuses_is_told_with_where_the_task_s_log_is(aws: Aws) -> None:
    aws.has_image()
    aws.takes_task("plan")
    aws.stubs["ecs"].add_client_error("describe_tasks", "AccessDeniedException", http_status_code=400)
    # Not RefusedError: that would say that nothing was done.
    with pytest.raises(PersonNeededError, match=r"lost sight of task .*AccessDenied.*its log, aws logs tail"):
        aws.run("plan")


def test_the_option_may_stand_before_the_verb() -> None:
    assert with_option_last(["--remote", "shift", "5"]) == ["shift", "5", "--remote"]
    assert with_option_last(["shift", "5", "--remote"]) == ["shift", "5", "--remote"]
    assert with_option_last([]) == []
    with pytest.raises(UsageError, match="say which, for example pm --remote status"):
        with_option_last(["--remote"])


def test_the_task_gets_the_same_arguments_but_the_option() -> None:
    assert remote_arguments(["shift", "5,25", "--bake", "5m", "--remote"]) == ["shift", "5,25", "--bake", "5m"]


@pytest.mark.parametrize("evidence", [["--evidence", "file"], ["--evidence=file"]])
def test_a_file_of_this_machine_is_refused_with_where_evidence_goes(evidence: list[str]) -> None:
    with pytest.raises(UsageError, match=r"--evidence names a file on this machine.*evidence/ in the target's"):
        remote_arguments(["status", *evidence, "--remote"])
