"""Every command in a stack's outputs is one that the AWS CLI, `pm` or the CDK would take."""

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import botocore.session
import pytest
from both_apps import composed
from botocore import xform_name
from botocore.model import OperationModel, Shape
from botocore.validate import ParamValidator

import pm_source_app
import pm_target_app
from pm_cutover.aws.remote import with_option_last
from pm_cutover.cli import app as pm

STACK_IDS = {*pm_source_app.STACK_IDS, *pm_target_app.STACK_IDS}
SETTINGS = {"environmentSuffix": "alpha", "domain": "payments.acme.test", "account": "123456789012"}
PHASES = ("prepare", "replicate", "shift", "cutover", "complete")
# Stands for what AWS fills in; as long as an ARN is at least.
VALUE = "VALUE-THAT-AWS-FILLS-IN"
# What the AWS CLI takes beside an operation's parameters, with a value. Source: AWS CLI, "Command line options".
CLI_OPTIONS = {"region", "query", "output", "profile", "max-items", "page-size", "starting-token"}
# Commands of the AWS CLI that are no operation of a service.
CLI_COMMANDS = {
    ("ecr", "get-login-password"): {"region"},
    ("configure", "export-credentials"): {"format"},
    ("logs", "tail"): {"follow", "since", "format", "region"},
}
SERVICES = {"s3api": "s3"}
# Parameters that the AWS CLI calls otherwise than the API, because the name is taken by an option of its own.
RENAMED = {"Subscribe": {"notification-endpoint": "Endpoint"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One output that holds a command.

    Attributes:
        where: Stack and output.
        command: As an operator sees it, with a placeholder for what AWS fills in.
    """

    where: str
    command: str


def outputs(phase: str) -> list[Output]:
    return [
        Output(where=f"{stack.id}.{name}", command=rendered(body["Value"]))
        for stack in composed(SETTINGS | {"migrationPhase": phase}).synth().stacks
        for name, body in stack.template.get("Outputs", {}).items()
        if name.endswith(("Command", "Procedure"))
    ]


def rendered(value: Any) -> str:
    if isinstance(value, str):
        return value
    if "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return str(separator).join(rendered(part) for part in parts) if isinstance(parts, list) else VALUE
    return VALUE


@pytest.fixture(scope="module")
def replicating() -> list[Output]:
    return outputs("replicate")


def simple_commands(command: str) -> Iterator[list[str]]:
    """The words of each command of a line; command substitutions are values."""
    line = re.sub(r"\$\([^)]*\)", "2026-11-28T00:00:00Z", command)
    words: list[str] = []
    for word in [*shlex.split(line), "&&"]:
        if word in {"&&", "|"}:
            yield words
            words = []
        else:
            words.append(word)


def test_aws_commands_are_operations_with_their_parameters(replicating: list[Output]) -> None:
    checked = 0
    for output in replicating:
        for words in simple_commands(output.command):
            if words[0] == "aws":
                problem = wrong_in(words[1:])
                assert problem is None, f"{output.where}: {problem}: {shlex.join(words)}"
                checked += 1
    assert checked > 40


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("aws dms describe-replication-task", "no operation"),
        ("aws dmss describe-replication-tasks", "no service"),
        ("aws dms describe-replication-tasks --filter Name=a,Values=b", "no parameter --filter"),
        ("aws dms describe-replication-tasks --filters Name=a,Value=b", "Unknown parameter"),
        ("aws dms describe-replication-tasks --filters Name=a", "Missing required parameter"),
        ("aws dms describe-replication-tasks --without-settings yes", "unexpected word 'yes'"),
        ("aws ssm put-parameter --value 5", 'Missing required parameter in input: "Name"'),
        ("aws ssm put-parameter --name", "--name has no value"),
        ("aws route53 change-resource-record-sets --hosted-zone-id Z --change-batch '{\"Changes\":[{}]}'", "Missing"),
        ("aws route53 change-resource-record-sets --hosted-zone-id Z --change-batch '{'", "no JSON"),
        ("aws cloudwatch get-metric-statistics --period often", "Invalid type|no number"),
    ],
)
def test_a_wrong_command_is_told_from_a_right_one(command: str, problem: str) -> None:
    (words,) = simple_commands(command)
    assert re.search(problem, wrong_in(words[1:]) or "nothing")


def wrong_in(words: Sequence[str]) -> str | None:
    """What the AWS CLI would refuse about ``<service> <operation> --parameter value ...``; None when it is fine."""
    service, operation, *rest = words
    if (service, operation) in CLI_COMMANDS:
        unknown = {word[2:] for word in rest if word.startswith("--")} - CLI_COMMANDS[service, operation]
        return f"no option {unknown}" if unknown else None
    session = botocore.session.get_session()
    name = SERVICES.get(service, service)
    if name not in session.get_available_services():
        return f"no service {service}"
    model = session.get_service_model(name)
    known = {xform_name(one, "-"): one for one in model.operation_names}
    if operation not in known:
        return f"no operation {operation} of {service}"
    try:
        parameters = parsed(model.operation_model(known[operation]), rest)
    except ValueError as error:
        return str(error)
    shape = model.operation_model(known[operation]).input_shape
    report = ParamValidator().validate(parameters, shape)
    return str(report.generate_report()) if report.has_errors() else None


def parsed(operation: OperationModel, words: Sequence[str]) -> dict[str, Any]:
    """The operation's parameters.

    Raises:
        ValueError: A parameter does not exist, or its value is not of its type.
    """
    members = {xform_name(one, "-"): (one, shape) for one, shape in operation.input_shape.members.items()}
    for option, one in RENAMED.get(operation.name, {}).items():
        members[option] = members.pop(xform_name(one, "-"))
    # The AWS CLI makes up the tokens by which a repeated request is recognized.
    found: dict[str, Any] = dict.fromkeys(operation.idempotent_members, VALUE)
    todo = list(words)
    while todo:
        word = todo.pop(0)
        if not word.startswith("--"):
            raise ValueError(f"unexpected word {word!r}")
        flag = word[2:]
        values = (
            [todo.pop(0) for _ in range(len(todo)) if not todo[0].startswith("--")] if flag not in members else None
        )
        if flag in CLI_OPTIONS:
            if values is None or len(values) != 1:
                raise ValueError(f"{word} takes one value")
        elif flag in members:
            name, shape = members[flag]
            found[name] = value_of(word, shape, todo)
        elif flag.removeprefix("no-") in members and members[flag.removeprefix("no-")][1].type_name == "boolean":
            found[members[flag.removeprefix("no-")][0]] = False
            todo = [*(values or []), *todo]
        else:
            raise ValueError(f"no parameter {word}")
    return found


def value_of(word: str, shape: Shape, todo: list[str]) -> Any:
    """The value of a parameter, taken off the words that follow it."""
    if shape.type_name == "boolean":
        return True
    if not todo or todo[0].startswith("--"):
        raise ValueError(f"{word} has no value")
    if shape.type_name != "list":
        return converted(todo.pop(0), shape)
    values = []
    while todo and not todo[0].startswith("--"):
        values.append(converted(todo.pop(0), shape.member))
    return values


def converted(text: str, shape: Shape) -> Any:
    if text.startswith(("{", "[")):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"no JSON: {text} ({error})") from None
    match shape.type_name:
        case "structure":
            return shorthand(text, shape)
        case "integer" | "long":
            if not text.isdigit():
                raise ValueError(f"no number: {text}")
            return int(text)
        case _:
            return text


def shorthand(text: str, shape: Shape) -> dict[str, Any]:
    """``Name=a,Values=b,c`` as the AWS CLI reads it: what has no ``=`` goes on with the list before it."""
    found: dict[str, Any] = {}
    name = ""
    for part in text.split(","):
        key, equals, value = part.partition("=")
        name, item = (key, value) if equals else (name, key)
        is_list = name in shape.members and shape.members[name].type_name == "list"
        found[name] = [*found.get(name, []), item] if is_list else item
    return found


@pytest.mark.parametrize("phase", PHASES)
def test_every_stack_says_the_next_command(phase: str) -> None:
    said = {output.where: output.command for output in outputs(phase) if output.where.endswith(".NextCommand")}
    assert {where.partition(".")[0] for where in said} == STACK_IDS
    engine = 0
    for where, line in said.items():
        for words in simple_commands(line):
            if words[0] == "pm":
                engine += 1
                check_pm(words[1:])
            else:
                assert words[0] == "cdk", where
                patterns = [word for word in words[2:] if not word.startswith("--")]
                assert patterns
                assert all(any(fnmatchcase(one, pattern) for one in STACK_IDS) for pattern in patterns), (
                    f"{where}: {line}"
                )
    assert engine or phase == "complete"


def test_commands_of_the_engine_are_commands_of_the_engine(replicating: list[Output]) -> None:
    checked = 0
    for output in replicating:
        for words in simple_commands(output.command):
            if words[0] == "pm":
                check_pm(words[1:])
                checked += 1
    assert checked >= 4


def check_pm(words: Sequence[str]) -> None:
    """Parsed as `pm` parses it, with a suffix as every verb needs one."""
    suffix = [] if "--suffix" in words else ["--suffix", "alpha"]
    pm.parse_args([*with_option_last(words), *suffix], print_error=False, exit_on_error=False)


def test_a_wrong_verb_is_told_from_a_right_one() -> None:
    check_pm(["shift", "5,25,50,100", "--bake", "5m"])
    for wrong in (["shft", "5"], ["shift", "5", "--baked", "5m"], ["cutover", "--dry"]):
        with pytest.raises(Exception, match=r"(?i)unknown|unused|invalid|usage|unable"):
            check_pm(wrong)
