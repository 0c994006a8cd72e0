"""Endpoints, which know a secret and not its content, and the tests of their connections."""

import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pm_rehearsal.cloud.dms.checks import TaskError
from pm_rehearsal.cloud.dms.infrastructure import Tags, arn_of
from pm_rehearsal.cloud.dms.logins import Login, LoginError, Side
from pm_rehearsal.cloud.dms.store import Attributes, Resource, Shelf, check, describe, resource_id
from pm_rehearsal.cloud.extension import Action, Extension, ServiceError

ENGINE = "postgres"
SECRET_FIELDS = ("host", "port", "username", "password")
POSTGRES_SETTINGS = frozenset(
    {
        *("AfterConnectScript", "CaptureDdls", "DatabaseName", "ExecuteTimeout", "FailTasksOnLobTruncation"),
        *("HeartbeatEnable", "HeartbeatFrequency", "HeartbeatSchema", "MapBooleanAsBoolean", "MapJsonbAsClob"),
        *("MaxFileSize", "PluginName", "SecretsManagerAccessRoleArn", "SecretsManagerSecretId", "SlotName"),
    }
)
_INLINE = ("ServerName", "Port", "Username", "Password")
_SSL_MODES = {"none": "disable", "require": "require"}  # DMS's word: libpq's
_KEPT = ("DatabaseName", "SslMode", "KmsKeyId", "ExtraConnectionAttributes")
_OPTIONAL = (*_KEPT, *_INLINE, "PostgreSQLSettings", "Tags", "ResourceIdentifier")

AdminAt = Callable[[int], dict[str, Any] | None]


class Endpoints:
    """Endpoints of engine postgres, and their connections to replication instances.

    Args:
        extension: The running MiniStack.
        tags: Where tags are kept.
        admin_at: The internal superuser's conninfo of the RDS instance on a port.
        instance: The replication instance of an ARN.
        tasks_of: Names of the tasks that use an endpoint's ARN; only running ones when asked so.
    """

    def __init__(
        self,
        extension: Extension,
        *,
        tags: Tags,
        admin_at: AdminAt,
        instance: Callable[[str], Resource],
        tasks_of: Callable[[str, bool], list[str]],
    ) -> None:
        self._extension = extension
        self._tags = tags
        self._admin_at = admin_at
        self._instance = instance
        self._tasks_of = tasks_of
        self.endpoints: Shelf[Resource] = Shelf(
            extension.scope, what="endpoint", keys=("EndpointIdentifier", "EndpointArn")
        )
        self.connections: Shelf[Resource] = Shelf(extension.scope, what="connection", keys=("key",))

    def actions(self) -> dict[str, Action]:
        """By name."""
        return {
            "CreateEndpoint": self.create,
            "ModifyEndpoint": self.modify,
            "DeleteEndpoint": self.delete,
            "DescribeEndpoints": self.describe,
            "TestConnection": self.test,
            "DescribeConnections": self.describe_connections,
            "DeleteConnection": self.delete_connection,
        }

    def create(self, request: Attributes) -> Attributes:
        """CreateEndpoint."""
        check(request, required=("EndpointIdentifier", "EndpointType", "EngineName"), optional=_OPTIONAL)
        attributes = {
            "EndpointIdentifier": request["EndpointIdentifier"].lower(),
            "EndpointType": _endpoint_type(request["EndpointType"]),
            "EngineName": request["EngineName"],
            "EngineDisplayName": "PostgreSQL",
            "EndpointArn": arn_of(self._extension, "endpoint", resource_id(request)),
            "Status": "active",
            "SslMode": "none",
            **_checked(request, {}),
        }
        endpoint = self.endpoints.add(Resource(attributes))
        self._tags.set(endpoint["EndpointArn"], request.get("Tags") or [])
        return {"Endpoint": endpoint.attributes}

    def modify(self, request: Attributes) -> Attributes:
        """ModifyEndpoint; refused while a task that uses it runs."""
        check(
            request,
            required=("EndpointArn",),
            optional=(
                *(*_KEPT, *_INLINE, "PostgreSQLSettings", "EndpointIdentifier", "EndpointType", "EngineName"),
                "ExactSettings",
            ),
        )
        endpoint = self.endpoints.get(request["EndpointArn"])
        running = self._tasks_of(endpoint["EndpointArn"], True)
        if running:
            raise ServiceError(
                "InvalidResourceStateFault",
                f"the endpoint is used by {', '.join(running)}, which is running: stop it, then modify",
            )
        for name in ("EndpointIdentifier", "EndpointType", "EngineName"):
            if name in request and request[name].lower() != endpoint[name].lower():
                raise ServiceError(
                    "InvalidParameterValueException", f"{name} cannot be changed in the embedded AWS: make a new one"
                )
        keep = {} if request.get("ExactSettings") else endpoint["PostgreSQLSettings"]
        endpoint.attributes |= _checked({"EngineName": ENGINE, **endpoint.attributes, **request}, keep)
        return {"Endpoint": endpoint.attributes}

    def delete(self, request: Attributes) -> Attributes:
        """DeleteEndpoint; refused while a task has it."""
        check(request, required=("EndpointArn",))
        endpoint = self.endpoints.get(request["EndpointArn"])
        users = self._tasks_of(endpoint["EndpointArn"], False)
        if users:
            raise ServiceError("InvalidResourceStateFault", f"the endpoint is used by {', '.join(users)}: delete it")
        for connection in self.connections.all():
            if connection["EndpointArn"] == endpoint["EndpointArn"]:
                self.connections.remove(connection)
        self.endpoints.remove(endpoint)
        self._tags.forget(endpoint["EndpointArn"])
        return {"Endpoint": endpoint.attributes | {"Status": "deleting"}}

    def describe(self, request: Attributes) -> Attributes:
        """DescribeEndpoints."""
        check(request, optional=("Filters", "MaxRecords", "Marker"))
        filters = {
            "endpoint-arn": "EndpointArn",
            "endpoint-type": "EndpointType",
            "endpoint-id": "EndpointIdentifier",
            "engine-name": "EngineName",
        }
        return describe(self.endpoints.all(), request, "Endpoints", filters)

    def test(self, request: Attributes) -> Attributes:
        """TestConnection; the outcome is in DescribeConnections."""
        check(request, required=("ReplicationInstanceArn", "EndpointArn"))
        endpoint, instance = (
            self.endpoints.get(request["EndpointArn"]),
            self._instance(request["ReplicationInstanceArn"]),
        )
        key = f"{instance['ReplicationInstanceArn']} {endpoint['EndpointArn']}"
        for old in self.connections.all():
            if old["key"] == key and old["Status"] == "testing":
                raise ServiceError("InvalidResourceStateFault", "the connection is already being tested: wait for it")
            if old["key"] == key:
                self.connections.remove(old)
        connection = self.connections.add(
            Resource(
                {
                    "key": key,
                    "ReplicationInstanceArn": instance["ReplicationInstanceArn"],
                    "ReplicationInstanceIdentifier": instance["ReplicationInstanceIdentifier"],
                    "EndpointArn": endpoint["EndpointArn"],
                    "EndpointIdentifier": endpoint["EndpointIdentifier"],
                    "Status": "testing",
                }
            )
        )
        self._extension.background("dms-test-connection", self._try, endpoint, connection)
        return {"Connection": connection.attributes}

    def describe_connections(self, request: Attributes) -> Attributes:
        """DescribeConnections."""
        check(request, optional=("Filters", "MaxRecords", "Marker"))
        filters = {"endpoint-arn": "EndpointArn", "replication-instance-arn": "ReplicationInstanceArn"}
        return describe(self.connections.all(), request, "Connections", filters)

    def delete_connection(self, request: Attributes) -> Attributes:
        """DeleteConnection."""
        check(request, required=("ReplicationInstanceArn", "EndpointArn"))
        connection = self.connections.get(f"{request['ReplicationInstanceArn']} {request['EndpointArn']}")
        self.connections.remove(connection)
        return {"Connection": connection.attributes | {"Status": "deleting"}}

    def proven(self, instance_arn: str, endpoint_arn: str) -> bool:
        """Whether the last test of this connection was successful; DMS starts no task before it was."""
        return any(
            connection["key"] == f"{instance_arn} {endpoint_arn}" and connection["Status"] == "successful"
            for connection in self.connections.all()
        )

    def side(self, endpoint_arn: str) -> Side:
        """How to reach the endpoint's database now; reads the secret.

        Raises:
            TaskError: The secret is missing or incomplete, or nothing of ours listens there.
        """
        endpoint = self.endpoints.get(endpoint_arn)
        settings = endpoint["PostgreSQLSettings"]
        secret = self._secret(settings["SecretsManagerSecretId"])
        own = Login(
            host=str(secret["host"]),
            port=int(secret["port"]),
            dbname=endpoint["DatabaseName"],
            user=str(secret["username"]),
            password=str(secret["password"]),
        )
        admin = self._admin_at(own.port)
        if admin is None:
            raise TaskError(
                f"no RDS instance of the embedded AWS listens at {own.host}:{own.port}, which the secret names"
            )
        return Side(
            own=own,
            admin=Login.of(admin, dbname=own.dbname),
            after_connect=settings.get("AfterConnectScript") or "",
            sslmode=_SSL_MODES[endpoint["SslMode"]],
        )

    def _secret(self, secret_id: str) -> dict[str, Any]:
        try:
            text = self._extension.client("secretsmanager").get_secret_value(SecretId=secret_id)["SecretString"]
            secret = json.loads(text)
        except (ClientError, BotoCoreError, KeyError) as error:
            raise TaskError(f"secret {secret_id} cannot be read: {error}") from error
        except json.JSONDecodeError:
            raise TaskError(f"secret {secret_id} is not a JSON object") from None  # the error would quote it
        missing = [field for field in SECRET_FIELDS if not (isinstance(secret, dict) and secret.get(field))]
        if missing:
            raise TaskError(
                f"secret {secret_id} has no {', '.join(missing)}: DMS needs {', '.join(SECRET_FIELDS)} in it"
            )
        return dict(secret)

    def _try(self, endpoint: Resource, connection: Resource) -> None:
        try:
            self.side(endpoint["EndpointArn"]).connect().close()
        except (TaskError, LoginError) as error:
            connection.attributes |= {"Status": "failed", "LastFailureMessage": f"Application-Status: 1020912: {error}"}
        else:
            connection.attributes["Status"] = "successful"


def _checked(request: Attributes, kept: Attributes) -> Attributes:
    """Validate an endpoint's data and return what is stored of it."""
    settings = {**kept, **(request.get("PostgreSQLSettings") or {})}
    database = request.get("DatabaseName") or settings.get("DatabaseName")
    problem = ""
    if request["EngineName"] != ENGINE:
        problem = f"EngineName {request['EngineName']} is not supported by the embedded AWS; only {ENGINE} is"
    elif unknown := sorted(set(settings) - POSTGRES_SETTINGS):
        problem = (
            f"PostgreSQLSettings {', '.join(unknown)} is not supported by the embedded AWS; "
            f"{', '.join(sorted(POSTGRES_SETTINGS))} are (connection data come from the secret)"
        )
    elif inline := [name for name in _INLINE if request.get(name)]:
        problem = f"{', '.join(inline)} and a secret exclude each other: give only SecretsManagerSecretId"
    elif not (settings.get("SecretsManagerSecretId") and settings.get("SecretsManagerAccessRoleArn")):
        problem = "PostgreSQLSettings needs SecretsManagerSecretId and SecretsManagerAccessRoleArn"
    elif not database:
        problem = "DatabaseName must be given"
    elif request.get("SslMode", "none") not in _SSL_MODES:
        problem = f"SslMode {request['SslMode']} is not supported by the embedded AWS; {', '.join(_SSL_MODES)} are"
    elif request.get("ExtraConnectionAttributes"):
        problem = "ExtraConnectionAttributes is not supported by the embedded AWS: use PostgreSQLSettings"
    elif settings.get("PluginName", "pgoutput") != "pgoutput":
        problem = (
            f"PluginName {settings['PluginName']} is not supported by the embedded AWS, whose PostgreSQL has only "
            "pgoutput: leave PluginName away"
        )
    if problem:
        raise ServiceError("InvalidParameterValueException", problem)
    return {
        **{name: request[name] for name in _KEPT if request.get(name)},
        "DatabaseName": database,
        "PostgreSQLSettings": settings,
    }


def _endpoint_type(given: str) -> str:
    if given.lower() not in {"source", "target"}:
        raise ServiceError("InvalidParameterValueException", f"EndpointType {given} is not source or target")
    return given.upper()
