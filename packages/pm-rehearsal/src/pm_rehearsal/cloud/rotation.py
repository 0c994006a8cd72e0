"""Secrets Manager's rotation, done in full: the password changes in the database, then the secret points at it.

``HostedRotationLambda`` needs no function here: this module is the rotator. A rotation function of the template's own
is invoked with the four steps, as on AWS.
"""

import json
import string
import sys
import time
import uuid
from typing import Any

import psycopg
from psycopg import sql

from pm_rehearsal.cloud.extension import (
    Extension,
    Properties,
    Provider,
    Provisioned,
    Request,
    Response,
    ServiceError,
    json_response,
)

TRANSFORM_PREFIX = "AWS::SecretsManager-"
HOSTED = "hosted-rotation-"
# Kinds of hosted rotation, as part of the function names that stand for them.
SINGLE, ALTERNATING = "single-", "alternating-"
KINDS = {"PostgreSQLSingleUser": SINGLE, "PostgreSQLMultiUser": ALTERNATING}
CLONE = "_clone"
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
# What AWS's functions leave out of a password unless they are told something else.
EXCLUDED = "/@\"'\\"
CHARACTERS = {
    "ExcludeLowercase": string.ascii_lowercase,
    "ExcludeUppercase": string.ascii_uppercase,
    "ExcludeNumbers": string.digits,
    "ExcludePunctuation": string.punctuation,
}
CONNECT_SECONDS = 5
CLOUDFORMATION = "ministack.services.cloudformation"


def install(extension: Extension) -> None:
    """Replace MiniStack's placeholder, add the schedule, let the macro of hosted rotation disappear."""
    excluded: dict[str, str] = {}
    rotator = _Rotator(extension, excluded)
    extension.intercept("secretsmanager", rotator.intercept)
    extension.on_reset(excluded.clear)
    extension.provide(RotationSchedule(extension, excluded))
    _drop_transform(extension)


class _Rotator:
    """Rotates; ``excluded`` holds what the passwords of a hosted function must not contain, by its ARN."""

    def __init__(self, extension: Extension, excluded: dict[str, str]) -> None:
        self._extension = extension
        self._excluded = excluded
        self._store = extension.module("services.secretsmanager")

    def intercept(self, request: Request) -> Response | None:
        if request.action == "GetRandomPassword":
            _check_characters(request.parameters)
        if request.action not in {"RotateSecret", "CancelRotateSecret"}:
            return None
        _, secret = self._store._resolve(request.parameters.get("SecretId"))
        if secret is None:
            raise ServiceError("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
        if request.action == "CancelRotateSecret":
            secret["RotationEnabled"] = False
            return json_response({"ARN": secret["ARN"], "Name": secret["Name"]})
        return self._rotate(request, secret)

    def _rotate(self, request: Request, secret: dict[str, Any]) -> Response:
        if secret.get("DeletedDate"):
            raise ServiceError("InvalidRequestException", "The secret was marked for deletion.")
        function = request.parameters.get("RotationLambdaARN") or secret.get("RotationLambdaARN")
        if not function:
            raise ServiceError(
                "InvalidRequestException", "No Lambda rotation function ARN is associated with this secret."
            )
        secret |= {"RotationLambdaARN": function, "RotationEnabled": True}
        if request.parameters.get("RotationRules"):
            secret["RotationRules"] = request.parameters["RotationRules"]
        answer = {"ARN": secret["ARN"], "Name": secret["Name"]}
        if request.parameters.get("RotateImmediately", True):
            rotate = self._rotate_here if HOSTED in function else self._rotate_by_function
            answer["VersionId"] = rotate(secret, function)
            secret["LastRotatedDate"] = int(time.time())
        return json_response(answer)

    def _rotate_here(self, secret: Properties, function: str) -> str:
        """As the hosted functions: the user changes its own password, or the master user that of the other one."""
        client = self._extension.client("secretsmanager")
        current = json.loads(client.get_secret_value(SecretId=secret["ARN"])["SecretString"])
        excluded = self._excluded.get(function, EXCLUDED)
        changed = current | {"password": client.get_random_password(ExcludeCharacters=excluded)["RandomPassword"]}
        changing = current
        if f"{HOSTED}{ALTERNATING}" in function:
            changed["username"] = _other(current["username"])
            if "masterarn" not in current:
                raise ServiceError("InternalServiceError", f"the secret {secret['Name']} has no masterarn")
            changing = json.loads(client.get_secret_value(SecretId=current["masterarn"])["SecretString"])
        pending = client.put_secret_value(
            SecretId=secret["ARN"],
            SecretString=json.dumps(changed),
            VersionStages=["AWSPENDING"],
            ClientRequestToken=str(uuid.uuid4()),
        )["VersionId"]
        try:
            with self._login(changing) as connection:
                _set_password(connection, changed, like=current["username"])
            self._login(changed).close()
        except psycopg.Error as error:
            raise ServiceError("InternalServiceError", f"rotation of {secret['Name']} failed: {error}") from error
        before = next(version for version, item in secret["Versions"].items() if "AWSCURRENT" in item.get("Stages", []))
        client.update_secret_version_stage(
            SecretId=secret["ARN"],
            VersionStage="AWSCURRENT",
            MoveToVersionId=pending,
            RemoveFromVersionId=before,
        )
        return str(pending)

    def _rotate_by_function(self, secret: Properties, function: str) -> str:
        token = str(uuid.uuid4())
        secret["Versions"][token] = {
            "SecretString": None,
            "SecretBinary": None,
            "CreatedDate": int(time.time()),
            "Stages": ["AWSPENDING"],
        }
        for step in STEPS:
            event = {"Step": step, "SecretId": secret["ARN"], "ClientRequestToken": token}
            answer = self._extension.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
            if answer.get("FunctionError"):
                reason = json.loads(answer["Payload"].read()).get("errorMessage", "no message")
                raise ServiceError("InternalServiceError", f"rotation of {secret['Name']}, {step}: {reason}")
        return token

    def _login(self, secret: Properties) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=secret["host"],
            port=secret["port"],
            user=secret["username"],
            password=secret["password"],
            dbname=secret.get("dbname", "postgres"),
            connect_timeout=CONNECT_SECONDS,
            autocommit=True,
        )


def _check_characters(request: Properties) -> None:
    """MiniStack leaves out a kind of characters that is excluded one by one; Secrets Manager refuses to."""
    excluded = set(request.get("ExcludeCharacters", ""))
    for switch, characters in CHARACTERS.items():
        wanted = not request.get(switch, False) and request.get("RequireEachIncludedType", True)
        if wanted and set(characters) <= excluded:
            raise ServiceError("InvalidParameterException", "All characters of the desired type have been excluded.")


def _other(user: str) -> str:
    """The one of two alternating users whose turn it is."""
    return user.removesuffix(CLONE) if user.endswith(CLONE) else f"{user}{CLONE}"


def _set_password(connection: psycopg.Connection[Any], login: Properties, *, like: str) -> None:
    """Give a user its password; one that does not exist is made, with what ``like`` may do."""
    user, password = login["username"], login["password"]
    verifier = connection.pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256").decode()
    names = {"user": sql.Identifier(user), "like": sql.Identifier(like), "verifier": sql.Literal(verifier)}
    if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (user,)).fetchone() is None:
        connection.execute(sql.SQL("CREATE ROLE {user} LOGIN").format(**names))
        connection.execute(sql.SQL("GRANT {like} TO {user}").format(**names))
    connection.execute(sql.SQL("ALTER ROLE {user} PASSWORD {verifier}").format(**names))


class RotationSchedule(Provider):
    """AWS::SecretsManager::RotationSchedule; its physical id is the secret's ARN."""

    type_name = "AWS::SecretsManager::RotationSchedule"
    properties = frozenset(
        {"HostedRotationLambda", "RotateImmediatelyOnUpdate", "RotationLambdaARN", "RotationRules", "SecretId"}
    )
    replace_on = frozenset({"SecretId"})

    def __init__(self, extension: Extension, excluded: dict[str, str]) -> None:
        self._extension = extension
        self._excluded = excluded

    def create(self, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        """Set the schedule and rotate, unless ``RotateImmediatelyOnUpdate`` is false."""
        del stack_name
        return self._schedule(logical_id, properties, str(properties.get("RotateImmediatelyOnUpdate", True)))

    def update(
        self, physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str
    ) -> Provisioned:
        """Set the schedule anew."""
        del physical_id, old, stack_name
        return self._schedule(logical_id, new, str(new.get("RotateImmediatelyOnUpdate", True)))

    def delete(self, physical_id: str, properties: Properties) -> None:
        """End the rotation; a secret that is gone needs none."""
        del properties
        client = self._extension.client("secretsmanager")
        try:
            client.cancel_rotate_secret(SecretId=physical_id)
        except client.exceptions.ResourceNotFoundException:
            return

    def _schedule(self, logical_id: str, properties: Properties, immediately: str) -> Provisioned:
        account, region = self._extension.scope()
        function = properties.get("RotationLambdaARN")
        hosted = properties.get("HostedRotationLambda")
        if hosted:
            kind = hosted.get("RotationType")
            if kind not in KINDS:
                raise ValueError(
                    f"hosted rotation {kind} is not supported by the embedded AWS; it does {', '.join(KINDS)}"
                )
            name = hosted.get("RotationLambdaName", logical_id)
            function = f"arn:aws:lambda:{region}:{account}:function:{HOSTED}{KINDS[kind]}{name}"
            self._excluded[function] = hosted.get("ExcludeCharacters", EXCLUDED)
        rules = dict(properties.get("RotationRules", {"AutomaticallyAfterDays": 30}))
        if "AutomaticallyAfterDays" in rules:
            rules["AutomaticallyAfterDays"] = int(rules["AutomaticallyAfterDays"])
        self._extension.client("secretsmanager").rotate_secret(
            SecretId=properties["SecretId"],
            RotationLambdaARN=function,
            RotationRules=rules,
            RotateImmediately=immediately.lower() == "true",
        )
        return properties["SecretId"], {"Id": properties["SecretId"]}


def _drop_transform(extension: Extension) -> None:
    """The macro would make a nested stack with the rotation function; the schedule above needs none."""
    engine = extension.module("services.cloudformation.engine")
    for name in ("handlers", "changesets"):
        extension.module(f"services.cloudformation.{name}")
    apply = engine._apply_transforms

    def without(template: dict[str, Any], *arguments: Any, **options: Any) -> Any:
        for name in engine.declared_transforms(template):
            if name.startswith(TRANSFORM_PREFIX):
                template = engine._without_transform(template, name)
        return apply(template, *arguments, **options)

    for name, module in list(sys.modules.items()):
        if name.startswith(CLOUDFORMATION) and getattr(module, "_apply_transforms", None) is apply:
            module._apply_transforms = without  # type: ignore[attr-defined] # the seam
