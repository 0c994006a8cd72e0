"""RDS: behind each PostgreSQL instance a real server, in whichever way the instance is created, changed or deleted."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pm_rehearsal.cloud.databases import Database
from pm_rehearsal.cloud.extension import (
    CreateHandler,
    DeleteHandler,
    Extension,
    Properties,
    Provisioned,
    UpdateHandler,
)

TYPE = "AWS::RDS::DBInstance"
ENGINE = "postgres"
REFUSED_ACTIONS = (
    *("CreateDBCluster", "CreateDBInstanceReadReplica", "RestoreDBInstanceFromDBSnapshot"),
    *("RestoreDBInstanceToPointInTime", "RestoreDBInstanceFromS3"),
)

QueryParameters = Mapping[str, Any]
Answer = tuple[int, dict[str, str], bytes]
Key = tuple[str, str, str]  # account, region, instance

_running: "Instances | None" = None


def install(extension: Extension) -> None:
    """Wrap the CloudFormation type and the actions of the RDS API."""
    global _running
    _running = instances = Instances(extension)
    extension.wrap(TYPE, create=instances.provision, update=instances.update, delete=instances.deprovision)
    extension.wrap("AWS::RDS::DBParameterGroup", update=instances.update_parameter_group)
    instances.take_over_actions()
    extension.on_reset(instances.close)
    extension.on_stop(instances.close)


def rdsadmin_conninfo_at(port: int) -> dict[str, Any] | None:
    """How the service itself logs in to the instance, in any region, whose endpoint has this port; None when none has.

    For ``psycopg.connect``.
    """
    return None if _running is None else _running.admin_conninfo_at(port)


class Instances:
    """The servers, by account, region and instance."""

    def __init__(self, extension: Extension) -> None:
        self._extension = extension
        self._rds = extension.module("services.rds")
        self._provisioners = extension.module("services.cloudformation.provisioners")
        self._databases: dict[Key, Database] = {}
        self._lock = threading.Lock()

    def database(self, instance_id: str) -> Database:
        """The server of an instance in the caller's account and region."""
        return self._databases[self._key(instance_id)]

    def admin_conninfo_at(self, port: int) -> dict[str, Any] | None:
        """How ``rdsadmin`` logs in to the server on this port."""
        with self._lock:
            found = [database for database in self._databases.values() if database.port == port]
        return found[0].admin_conninfo() if found else None

    def close(self) -> None:
        """Stop every server and remove its data."""
        with self._lock:
            databases = list(self._databases.values())
            self._databases.clear()
        if databases:
            with ThreadPoolExecutor(max_workers=len(databases)) as pool:
                list(pool.map(Database.close, databases))

    # CloudFormation

    def provision(
        self, original: CreateHandler, logical_id: str, properties: Properties, stack_name: str
    ) -> Provisioned:
        """Create the record, then its server."""
        self._require_postgres(properties.get("Engine", ""))
        instance_id, _ = original(logical_id, properties, stack_name)
        self._attach(instance_id)
        return instance_id, self._attributes(instance_id)

    def update(
        self,
        original: UpdateHandler,
        physical_id: str,
        old: Properties,
        new: Properties,
        stack_name: str,
        logical_id: str,
    ) -> Provisioned:
        """Change the record; a replacement gets a server of its own."""
        instance_id, _ = original(physical_id, old, new, stack_name, logical_id)
        if self._key(instance_id) not in self._databases:
            self._attach(instance_id)
            return instance_id, self._attributes(instance_id)
        database = self.database(instance_id)
        self._publish_endpoint(instance_id)
        if new.get("MasterUserPassword") != old.get("MasterUserPassword"):
            database.set_master_password(new["MasterUserPassword"])
        if new.get("DBParameterGroupName") != old.get("DBParameterGroupName"):
            database.change_parameters(self._parameters(instance_id))
            self._restart(instance_id)  # CloudFormation reboots for a new group
        return instance_id, self._attributes(instance_id)

    def deprovision(self, original: DeleteHandler, physical_id: str, properties: Properties) -> None:
        """Delete the server and the record; refused while deletion protection is on."""
        record = self._rds._instances.get(physical_id)
        if record is not None and record.get("DeletionProtection"):
            raise ValueError(f"DB instance {physical_id} has deletion protection: turn it off, then delete it")
        self._close(physical_id)
        original(physical_id, properties)

    def update_parameter_group(
        self,
        original: UpdateHandler,
        physical_id: str,
        old: Properties,
        new: Properties,
        stack_name: str,
        logical_id: str,
    ) -> Provisioned:
        """Change the group; its instances take dynamic parameters at once, static ones when they restart."""
        result = original(physical_id, old, new, stack_name, logical_id)
        for record in list(self._rds._instances.values()):
            if record["DBParameterGroups"][0]["DBParameterGroupName"] == result[0]:
                instance_id = record["DBInstanceIdentifier"]
                self.database(instance_id).change_parameters(self._parameters(instance_id))
        return result

    # The API

    def take_over_actions(self) -> None:
        """Put the servers behind MiniStack's own actions, and refuse those that would only pretend."""
        actions: dict[str, Callable[[QueryParameters], Answer]] = self._rds._ACTION_MAP
        for name in REFUSED_ACTIONS:
            actions[name] = self._refusal(name)
        create, delete = actions["CreateDBInstance"], actions["DeleteDBInstance"]
        start, stop = actions["StartDBInstance"], actions["StopDBInstance"]

        def created(parameters: QueryParameters) -> Answer:
            engine = self._rds._p(parameters, "Engine")
            if engine != ENGINE:
                return self._error("InvalidParameterValue", _only_postgres(engine))
            answer = create(parameters)
            if answer[0] >= 400:
                return answer
            instance_id = self._rds._p(parameters, "DBInstanceIdentifier")
            self._attach(instance_id)
            response: Answer = self._rds._single_instance_response(
                "CreateDBInstanceResponse", "CreateDBInstanceResult", self._rds._instances[instance_id]
            )
            return response

        def deleted(parameters: QueryParameters) -> Answer:
            answer = delete(parameters)
            if answer[0] < 400:
                self._close(self._rds._p(parameters, "DBInstanceIdentifier"))
            return answer

        def started(parameters: QueryParameters) -> Answer:
            answer = start(parameters)
            if answer[0] < 400:
                self.database(self._rds._p(parameters, "DBInstanceIdentifier")).resume()
            return answer

        def stopped(parameters: QueryParameters) -> Answer:
            answer = stop(parameters)
            if answer[0] < 400:
                self.database(self._rds._p(parameters, "DBInstanceIdentifier")).stop()
            return answer

        actions |= {
            "CreateDBInstance": created,
            "DeleteDBInstance": deleted,
            "StartDBInstance": started,
            "StopDBInstance": stopped,
        }
        self._take_over_password_and_reboot()

    def _take_over_password_and_reboot(self) -> None:
        finish = self._rds._finish_instance_reboot

        def rebooted(instance: Mapping[str, Any], cluster: Any) -> None:
            self._restart(instance["DBInstanceIdentifier"])
            finish(instance, cluster)

        def rotated(instance: Mapping[str, Any], old_password: str, new_password: str) -> None:
            del old_password
            self.database(instance["DBInstanceIdentifier"]).set_master_password(new_password)

        self._rds._finish_instance_reboot = rebooted
        self._rds._rotate_instance_password = rotated

    def _refusal(self, name: str) -> Callable[[QueryParameters], Answer]:
        def refused(parameters: QueryParameters) -> Answer:
            del parameters
            return self._error("InvalidAction", f"the embedded AWS does not support {name}")

        return refused

    def _error(self, code: str, message: str) -> Answer:
        answer: Answer = self._rds._error(code, message, 400)
        return answer

    # Servers

    def _key(self, instance_id: str) -> Key:
        return (*self._extension.scope(), instance_id)

    def _attach(self, instance_id: str) -> None:
        record = self._rds._instances[instance_id]
        key = self._key(instance_id)
        try:
            database = Database(
                identifier=instance_id,
                directory=self._extension.directory / "rds" / key[1] / instance_id,
                master=record["MasterUsername"],
                master_password=record["_MasterUserPassword"],
                database=record["DBName"],
                parameters=self._parameters(instance_id),
            )
        except BaseException:
            self._rds._instances.pop(instance_id, None)
            raise
        with self._lock:
            self._databases[key] = database
        self._publish_endpoint(instance_id)

    def _publish_endpoint(self, instance_id: str) -> None:
        database = self.database(instance_id)
        self._rds._instances[instance_id]["Endpoint"] |= {"Address": database.host, "Port": database.port}

    def _restart(self, instance_id: str) -> None:
        database = self.database(instance_id)
        database.stop()
        database.resume()

    def _close(self, instance_id: str) -> None:
        with self._lock:
            database = self._databases.pop(self._key(instance_id), None)
        if database is not None:
            database.close()

    def _parameters(self, instance_id: str) -> dict[str, str]:
        name = self._rds._instances[instance_id]["DBParameterGroups"][0]["DBParameterGroupName"]
        group = self._rds._param_groups.get(name)
        return {key: item["ParameterValue"] for key, item in (group or {}).get("Parameters", {}).items()}

    def _attributes(self, instance_id: str) -> dict[str, Any]:
        attributes: dict[str, Any] = self._provisioners._rds_db_instance_attrs(self._rds._instances[instance_id])
        return attributes

    def _require_postgres(self, engine: str) -> None:
        if engine != ENGINE:
            raise ValueError(f"{TYPE}: {_only_postgres(engine)}")


def _only_postgres(engine: str) -> str:
    return f"engine {engine!r} is not supported by the embedded AWS; it runs {ENGINE!r}"
