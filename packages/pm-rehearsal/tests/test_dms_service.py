"""DMS through boto3 and CloudFormation, with two RDS instances of the embedded AWS."""

import http.client
import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

from pm_rehearsal.cloud.launch import EmbeddedCloud

SCHEMA = """
CREATE ROLE pm_dms LOGIN PASSWORD 'dms-secret';
GRANT rds_replication TO pm_dms;
GRANT SET ON PARAMETER session_replication_role TO pm_dms;
CREATE TABLE accounts (id bigint PRIMARY KEY, name varchar(50) NOT NULL);
CREATE TABLE payments (id bigint PRIMARY KEY, account_id bigint NOT NULL REFERENCES accounts, amount numeric NOT NULL);
CREATE TABLE unmapped (id bigint PRIMARY KEY);
GRANT ALL ON ALL TABLES IN SCHEMA public TO pm_dms;
CREATE SCHEMA own;
GRANT USAGE, CREATE ON SCHEMA own TO pm_dms;
"""
MAPPINGS = json.dumps(
    {
        "rules": [
            {
                "rule-type": "selection",
                "rule-id": str(number),
                "rule-name": table,
                "object-locator": {"schema-name": "public", "table-name": table},
                "rule-action": "include",
            }
            for number, table in enumerate(("accounts", "payments"), 1)
        ]
    }
)
SETTINGS = json.dumps(
    {
        "FullLoadSettings": {"TargetTablePrepMode": "DO_NOTHING"},
        "ControlTablesSettings": {"ControlSchema": "own"},
        "ValidationSettings": {"EnableValidation": True, "RecordFailureDelayInMinutes": 1},
    }
)
ROLE = "arn:aws:iam::123456789012:role/dms-access"
SIDES = ("source", "target")


def until(condition: Callable[[], Any], seconds: float = 45.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)
    return result


@dataclass
class World:
    cloud: EmbeddedCloud
    conninfo: dict[str, dict[str, Any]]
    secrets: dict[str, str]
    outputs: dict[str, str]

    @property
    def dms(self) -> Any:
        return self.cloud.client("dms")

    def rows(self, side: str, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(**self.conninfo[side], autocommit=True) as connection:
            cursor = connection.execute(query)
            return cursor.fetchall() if cursor.description else []

    def payments(self, side: str) -> list[tuple[Any, ...]]:
        return self.rows(side, "SELECT id, amount::text FROM payments ORDER BY id")

    def task(self, name: str) -> dict[str, Any]:
        filters = [{"Name": "replication-task-arn", "Values": [self.outputs[name]]}]
        task: dict[str, Any] = self.dms.describe_replication_tasks(Filters=filters)["ReplicationTasks"][0]
        return task

    def start(self, name: str, kind: str, **position: str) -> None:
        self.dms.start_replication_task(
            ReplicationTaskArn=self.outputs[name], StartReplicationTaskType=kind, **position
        )

    def settle(self, name: str, status: str) -> dict[str, Any]:
        def settled() -> dict[str, Any] | None:
            task = self.task(name)
            return task if task["Status"] not in {"starting", "stopping"} else None

        task = until(settled)
        assert task["Status"] == status, task.get("LastFailureMessage")
        return dict(task)

    def stop(self, name: str) -> None:
        self.dms.stop_replication_task(ReplicationTaskArn=self.outputs[name])
        self.settle(name, "stopped")

    def put_password(self, password: str) -> None:
        text = json.dumps({**self.conninfo["source"], "username": "pm_dms", "password": password})
        self.cloud.client("secretsmanager").put_secret_value(SecretId=self.secrets["source"], SecretString=text)

    def test_connections(self) -> dict[str, str]:
        for endpoint in self.dms.describe_endpoints()["Endpoints"]:
            self.dms.test_connection(
                ReplicationInstanceArn=self.outputs["Instance"], EndpointArn=endpoint["EndpointArn"]
            )

        def tested() -> dict[str, str] | None:
            connections = self.dms.describe_connections()["Connections"]
            if any(connection["Status"] == "testing" for connection in connections):
                return None
            return {c["EndpointIdentifier"]: c.get("LastFailureMessage", "") for c in connections}

        return dict(until(tested))

    def metric(self, name: str) -> float:
        """The newest point; NaN when there is none, which is neither above nor below anything."""
        arn = self.task("Load")["ReplicationTaskArn"]
        points = self.cloud.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/DMS",
            MetricName=name,
            Dimensions=[
                {"Name": "ReplicationInstanceIdentifier", "Value": "mover"},
                {"Name": "ReplicationTaskIdentifier", "Value": arn.rpartition(":")[2]},
            ],
            StartTime=datetime.now(UTC) - timedelta(seconds=60),
            EndTime=datetime.now(UTC) + timedelta(seconds=60),
            Period=1,
            Statistics=["Maximum"],
        )["Datapoints"]
        return max(points, key=lambda point: point["Timestamp"])["Maximum"] if points else math.nan


def endpoint(side: str, kind: str, secret: str, **settings: str) -> dict[str, Any]:
    return {
        "Type": "AWS::DMS::Endpoint",
        "Properties": {
            "EndpointIdentifier": f"{side}-{kind}",
            "EndpointType": "source" if kind != "writer" else "target",
            "EngineName": "postgres",
            "DatabaseName": "payments",
            "SslMode": "none",
            "PostgreSqlSettings": {
                "SecretsManagerSecretId": secret,
                "SecretsManagerAccessRoleArn": ROLE,
                "HeartbeatEnable": "true",
                **settings,
            },
        },
    }


def task(name: str, migration_type: str, source: str, target: str) -> dict[str, Any]:
    return {
        "Type": "AWS::DMS::ReplicationTask",
        "Properties": {
            "ReplicationTaskIdentifier": name,
            "MigrationType": migration_type,
            "ReplicationInstanceArn": {"Ref": "Instance"},
            "SourceEndpointArn": {"Ref": source},
            "TargetEndpointArn": {"Ref": target},
            "TableMappings": MAPPINGS,
            "ReplicationTaskSettings": SETTINGS,
            "Tags": [{"Key": "Environment", "Value": "target"}],
        },
    }


def template(secrets: dict[str, str], subnets: list[str], topic: str) -> dict[str, Any]:
    replica = "SET session_replication_role = replica"
    resources = {
        "Subnets": {
            "Type": "AWS::DMS::ReplicationSubnetGroup",
            "Properties": {"ReplicationSubnetGroupDescription": "private", "SubnetIds": subnets},
        },
        "Instance": {
            "Type": "AWS::DMS::ReplicationInstance",
            "Properties": {
                "ReplicationInstanceIdentifier": "mover",
                "ReplicationInstanceClass": "dms.r5.large",
                "ReplicationSubnetGroupIdentifier": {"Ref": "Subnets"},
                "AllocatedStorage": "50",
                "PubliclyAccessible": "false",
            },
        },
        "SourceLoader": endpoint("source", "loader", secrets["source"]),
        "SourceReader": endpoint("source", "reader", secrets["source"], SlotName="pm_forward"),
        "TargetWriter": endpoint("target", "writer", secrets["target"], AfterConnectScript=replica),
        "TargetReader": endpoint("target", "reader", secrets["target"], SlotName="pm_reverse"),
        "SourceWriter": endpoint("source", "writer", secrets["source"], AfterConnectScript=replica),
        "Load": task("load", "full-load-and-cdc", "SourceLoader", "TargetWriter"),
        "Reverse": task("reverse", "cdc", "TargetReader", "SourceWriter"),
        "Events": {
            "Type": "AWS::DMS::EventSubscription",
            "Properties": {
                "SubscriptionName": "changes",
                "SnsTopicArn": topic,
                "SourceType": "replication-task",
                "EventCategories": ["state change", "failure"],
            },
        },
    }
    outputs = {name: {"Value": {"Ref": name}} for name in resources}
    return {"Resources": resources, "Outputs": outputs}


def create_databases(cloud: EmbeddedCloud) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    rds, conninfo, secrets = cloud.client("rds"), {}, {}
    rds.create_db_parameter_group(DBParameterGroupName="logical", DBParameterGroupFamily="postgres18", Description="-")
    rds.modify_db_parameter_group(
        DBParameterGroupName="logical",
        Parameters=[
            {"ParameterName": "rds.logical_replication", "ParameterValue": "1", "ApplyMethod": "pending-reboot"}
        ],
    )

    def create(side: str) -> dict[str, Any]:
        instance: dict[str, Any] = rds.create_db_instance(
            DBInstanceIdentifier=side,
            DBInstanceClass="db.r5.large",
            Engine="postgres",
            DBName="payments",
            MasterUsername="master",
            MasterUserPassword="master-secret",
            DBParameterGroupName="logical",
        )["DBInstance"]
        return instance

    with ThreadPoolExecutor(max_workers=2) as pool:
        instances = list(pool.map(create, SIDES))
    for side, created in zip(SIDES, instances, strict=True):
        where = {"host": created["Endpoint"]["Address"], "port": created["Endpoint"]["Port"]}
        conninfo[side] = where | {"dbname": "payments", "user": "master", "password": "master-secret"}
        with psycopg.connect(**conninfo[side], autocommit=True) as connection:
            connection.execute(SCHEMA)
        text = json.dumps(where | {"username": "pm_dms", "password": "dms-secret", "engine": "postgres"})
        secrets[side] = cloud.client("secretsmanager").create_secret(Name=f"dms-{side}", SecretString=text)["ARN"]
    return conninfo, secrets


def deploy(cloud: EmbeddedCloud, body: dict[str, Any]) -> dict[str, str]:
    formation = cloud.client("cloudformation")
    formation.create_stack(StackName="replication", TemplateBody=json.dumps(body))

    def done() -> dict[str, Any] | None:
        stack = formation.describe_stacks(StackName="replication")["Stacks"][0]
        return stack if not stack["StackStatus"].endswith("_IN_PROGRESS") else None

    stack = until(done)
    assert stack["StackStatus"] == "CREATE_COMPLETE", stack.get("StackStatusReason")
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


@pytest.fixture(scope="module")
def cloud() -> Iterator[EmbeddedCloud]:
    with EmbeddedCloud() as cloud:
        yield cloud


@pytest.fixture
def world(cloud: EmbeddedCloud) -> World:
    cloud.reset()
    conninfo, secrets = create_databases(cloud)
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"][
            "SubnetId"
        ]
        for n, zone in enumerate("ab")
    ]
    topic = cloud.client("sns").create_topic(Name="events")["TopicArn"]
    queue = cloud.client("sqs").create_queue(QueueName="events")["QueueUrl"]
    cloud.client("sns").subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:us-east-1:{cloud.account}:events"
    )
    outputs = deploy(cloud, template(secrets, subnets, topic))
    return World(cloud=cloud, conninfo=conninfo, secrets=secrets, outputs=outputs | {"queue": queue})


def refused(code: str) -> Any:
    return pytest.raises(ClientError, match=code)


def test_a_migration_there_and_back(world: World) -> None:
    dms = world.dms
    world.rows("source", "INSERT INTO accounts VALUES (1, 'Ada')")
    world.rows("source", "INSERT INTO payments SELECT n, 1, n FROM generate_series(1, 100) n")
    world.rows("source", "INSERT INTO unmapped VALUES (1)")
    assert world.task("Load")["Status"] == "ready"
    with refused("Test connection .* should be successful"):
        world.start("Load", "start-replication")
    assert set(world.test_connections().values()) == {""}
    with refused("InvalidParameterCombinationException"):
        world.start("Load", "resume-processing")
    slotted = dms.create_replication_task(
        ReplicationTaskIdentifier="slotted",
        MigrationType="full-load-and-cdc",
        ReplicationInstanceArn=world.outputs["Instance"],
        SourceEndpointArn=world.outputs["SourceReader"],
        TargetEndpointArn=world.outputs["TargetWriter"],
        TableMappings=MAPPINGS,
        ReplicationTaskSettings=SETTINGS,
    )["ReplicationTask"]["ReplicationTaskArn"]
    with refused("names slot pm_forward, which needs a CdcStartPosition"):
        dms.start_replication_task(ReplicationTaskArn=slotted, StartReplicationTaskType="start-replication")
    dms.delete_replication_task(ReplicationTaskArn=slotted)

    world.start("Load", "start-replication")
    world.settle("Load", "running")
    until(lambda: world.task("Load")["ReplicationTaskStats"]["FullLoadProgressPercent"] == 100)
    assert len(world.payments("target")) == 100
    world.rows("source", "UPDATE payments SET amount = 7 WHERE id <= 10; DELETE FROM payments WHERE id > 95")
    until(lambda: world.payments("target") == world.payments("source"))
    assert world.rows("target", "SELECT * FROM unmapped") == []

    def statistics() -> dict[str, tuple[Any, ...]]:
        tables = dms.describe_table_statistics(ReplicationTaskArn=world.outputs["Load"])["TableStatistics"]
        return {
            t["TableName"]: (t["TableState"], t["FullLoadRows"], t["Inserts"], t["Updates"], t["Deletes"])
            for t in tables
        }

    until(lambda: statistics().get("payments") == ("Table completed", 100, 0, 10, 5))
    for action in (
        lambda: world.start("Load", "resume-processing"),
        lambda: dms.modify_replication_task(ReplicationTaskArn=world.outputs["Load"], TableMappings=MAPPINGS),
        lambda: dms.delete_replication_task(ReplicationTaskArn=world.outputs["Load"]),
        lambda: dms.modify_endpoint(EndpointArn=world.outputs["SourceLoader"], DatabaseName="other"),
    ):
        with refused("InvalidResourceStateFault"):
            action()

    # The writer moves: the slot first, then the position, then the first write on the other side.
    world.rows("target", "SELECT pg_create_logical_replication_slot('pm_reverse', 'pgoutput')")
    world.rows("source", "INSERT INTO payments VALUES (200, 1, 1)")
    until(lambda: world.payments("target") == world.payments("source"))
    position = world.rows("target", "SELECT pg_current_wal_insert_lsn()::text")[0][0]
    world.rows("target", "INSERT INTO payments VALUES (201, 1, 1)")
    world.stop("Load")
    world.start("Reverse", "start-replication", CdcStartPosition=position)
    world.settle("Reverse", "running")
    until(lambda: world.payments("target") == world.payments("source"))
    world.stop("Reverse")
    world.rows("target", "INSERT INTO payments VALUES (202, 1, 1)")
    world.start("Reverse", "resume-processing")
    until(lambda: world.payments("target") == world.payments("source"))
    assert [number for number, _ in world.payments("source")][-3:] == [200, 201, 202]
    world.stop("Reverse")

    world.cloud.client("cloudformation").delete_stack(StackName="replication")
    until(lambda: not dms.describe_replication_instances()["ReplicationInstances"])
    for side in SIDES:
        assert world.rows(side, "SELECT pubname FROM pg_publication") == []
        assert world.rows(side, "SELECT subname FROM pg_stat_subscription") == []
    messages = world.cloud.client("sqs").receive_message(QueueUrl=world.outputs["queue"], MaxNumberOfMessages=10)
    assert "has started" in messages["Messages"][0]["Body"]


def test_a_failed_login_is_told_without_the_password_and_a_dead_mover_by_growing_lag(world: World) -> None:
    world.test_connections()
    world.put_password("wrong-secret")
    world.start("Load", "start-replication")
    failed = world.settle("Load", "failed")
    assert "password authentication failed" in failed["LastFailureMessage"]
    assert "wrong-secret" not in json.dumps(failed, default=str)
    assert "password authentication failed" in world.test_connections()["source-reader"]

    world.put_password("dms-secret")
    world.test_connections()
    world.start("Load", "reload-target")
    world.settle("Load", "running")
    until(lambda: world.metric("CDCLatencyTarget") < 1.0)
    call(world.cloud, "PmStopMover", {"ReplicationTaskArn": world.outputs["Load"]})
    until(lambda: world.metric("CDCLatencyTarget") > 3.0)
    assert world.metric("CDCLatencySource") > 2.0
    assert world.task("Load")["Status"] == "running"


def test_rows_that_differ_are_in_the_statistics_and_metrics_until_their_table_is_validated_anew(world: World) -> None:
    world.rows("source", "INSERT INTO accounts VALUES (1, 'Ada'), (2, 'Bob')")
    world.test_connections()
    world.start("Load", "start-replication")
    world.settle("Load", "running")

    def accounts() -> dict[str, Any]:
        tables = world.dms.describe_table_statistics(ReplicationTaskArn=world.outputs["Load"])["TableStatistics"]
        return next((table for table in tables if table["TableName"] == "accounts"), {})

    until(lambda: accounts().get("ValidationState") == "Validated")
    until(lambda: world.metric("ValidationFailedOverallCount") == 0)
    world.rows("target", "UPDATE accounts SET name = 'Eve' WHERE id = 2")
    until(lambda: accounts()["ValidationState"] == "Mismatched records")
    assert accounts()["ValidationFailedRecords"] == 1
    until(lambda: world.metric("ValidationFailedOverallCount") == 1)
    assert world.rows("target", 'SELECT "FAILURE_TYPE" FROM own.awsdms_validation_failures_v2') == [("RECORD_DIFF",)]

    world.rows("target", "UPDATE accounts SET name = 'Bob' WHERE id = 2")
    world.dms.reload_tables(
        ReplicationTaskArn=world.outputs["Load"],
        TablesToReload=[{"SchemaName": "public", "TableName": "accounts"}],
        ReloadOption="validate-only",
    )
    until(lambda: accounts()["ValidationState"] == "Validated")
    until(lambda: world.metric("ValidationFailedOverallCount") == 0)


def test_a_task_that_may_not_keep_its_own_tables_fails(world: World) -> None:
    world.rows("target", "REVOKE CREATE ON SCHEMA own FROM pm_dms")
    world.test_connections()
    world.start("Load", "start-replication")
    assert "own.awsdms_apply_exceptions cannot be made" in world.settle("Load", "failed")["LastFailureMessage"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ServerName": "db"}, "exclude each other"),
        ({"EngineName": "mysql"}, "mysql is not supported"),
        ({"MySQLSettings": {}}, "MySQLSettings is not supported"),
        ({"PostgreSQLSettings": {"SecretsManagerSecretId": "s"}}, "SecretsManagerAccessRoleArn"),
        ({"PostgreSQLSettings": {"TrimSpaceInChar": True}}, "TrimSpaceInChar is not supported"),
        ({"SslMode": "verify-full"}, "verify-full is not supported"),
    ],
)
def test_an_endpoint_with_what_would_be_ignored_is_refused(
    cloud: EmbeddedCloud, changes: dict[str, Any], message: str
) -> None:
    settings = {"SecretsManagerSecretId": "s", "SecretsManagerAccessRoleArn": ROLE}
    good = {
        "EndpointIdentifier": "e",
        "EndpointType": "source",
        "EngineName": "postgres",
        "DatabaseName": "payments",
        "PostgreSQLSettings": settings,
    }
    with refused(message):
        cloud.client("dms").create_endpoint(**(good | changes))


def test_an_unknown_action_is_refused(cloud: EmbeddedCloud) -> None:
    with refused("DescribeCertificates"):
        cloud.client("dms").describe_certificates()


def call(cloud: EmbeddedCloud, action: str, request: dict[str, Any]) -> None:
    """Call an action that boto3 does not know."""
    connection = http.client.HTTPConnection(cloud.endpoint.removeprefix("http://"), timeout=20)
    headers = {
        "X-Amz-Target": f"AmazonDMSv20160101.{action}",
        "Content-Type": "application/x-amz-json-1.1",
        "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dms/aws4_request",
    }
    connection.request("POST", "/", json.dumps(request), headers)
    response = connection.getresponse()
    assert response.status == 200, response.read()
    connection.close()
