"""What reaches a subscriber of an encrypted topic, and what its policies keep out."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pm_rehearsal.cloud.launch import EmbeddedCloud

Statement = dict[str, Any]
REGION = "us-east-1"


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)
    return result


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedCloud]:
    with EmbeddedCloud() as cloud:
        yield cloud


@pytest.fixture
def cloud(server: EmbeddedCloud) -> EmbeddedCloud:
    server.reset()
    return server


@dataclass
class Inbox:
    """An encrypted topic, and a queue that gets its messages."""

    cloud: EmbeddedCloud
    topic: str
    queue: str

    def messages(self) -> list[str]:
        found = self.cloud.client("sqs").receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
        return [json.loads(message["Body"])["Message"] for message in found.get("Messages", [])]

    def first(self) -> str:
        return str(until(self.messages)[0])


def inbox(cloud: EmbeddedCloud, service: str, *, topic: Statement | None = None, key: Statement | None = None) -> Inbox:
    """Both policies admit one service, on the conditions given."""
    account = cloud.account

    def admitting(actions: list[str], conditions: Statement | None) -> Statement:
        statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": actions, "Resource": "*"}
        return statement | ({"Condition": conditions} if conditions else {})

    root = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "kms:*", "Resource": "*"}
    key_policy = {"Statement": [root, admitting(["kms:GenerateDataKey*", "kms:Decrypt"], key)]}
    key_id = cloud.client("kms").create_key(Policy=json.dumps(key_policy))["KeyMetadata"]["Arn"]
    arn = cloud.client("sns").create_topic(
        Name="alarms",
        Attributes={
            "KmsMasterKeyId": key_id,
            "Policy": json.dumps({"Statement": [admitting(["sns:Publish"], topic)]}),
        },
    )["TopicArn"]
    queue = cloud.client("sqs").create_queue(QueueName="alarms")["QueueUrl"]
    cloud.client("sns").subscribe(TopicArn=arn, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:{account}:alarms")
    return Inbox(cloud, arn, queue)


def topic_is(name: str) -> Statement:
    return {"StringEquals": {"kms:EncryptionContext:aws:sns:topicArn": f"arn:aws:sns:{REGION}:123456789012:{name}"}}


def account_is(value: str) -> Statement:
    return {"StringEquals": {"aws:SourceAccount": value}}


def source_is(value: str) -> Statement:
    return {"ArnLike": {"aws:SourceArn": value}}


def alarm(cloud: EmbeddedCloud, topic: str) -> None:
    cloudwatch = cloud.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="lag",
        Namespace="Test",
        MetricName="Lag",
        ComparisonOperator="GreaterThanThreshold",
        Threshold=60,
        EvaluationPeriods=1,
        Period=60,
        Statistic="Maximum",
        AlarmActions=[topic],
    )
    cloudwatch.put_metric_data(Namespace="Test", MetricData=[{"MetricName": "Lag", "Value": 61}])
    cloudwatch.describe_alarms(AlarmNames=["lag"])


def test_an_alarm_reaches_the_subscriber(cloud: EmbeddedCloud) -> None:
    source = source_is(f"arn:aws:cloudwatch:{REGION}:{cloud.account}:alarm:lag")
    box = inbox(cloud, "cloudwatch.amazonaws.com", topic=source, key=account_is(cloud.account))
    alarm(cloud, box.topic)
    assert json.loads(box.first())["NewStateValue"] == "ALARM"


@pytest.mark.parametrize(
    "conditions",
    [
        {"topic": account_is("999999999999")},
        {"key": account_is("999999999999")},
        {"topic": source_is("arn:aws:cloudwatch:us-east-1:123456789012:alarm:other")},
    ],
)
def test_an_alarm_that_a_policy_does_not_admit_is_dropped(cloud: EmbeddedCloud, conditions: Statement) -> None:
    box = inbox(cloud, "cloudwatch.amazonaws.com", **conditions)
    alarm(cloud, box.topic)
    assert cloud.client("cloudwatch").describe_alarms(AlarmNames=["lag"])["MetricAlarms"][0]["StateValue"] == "ALARM"
    assert box.messages() == []


@pytest.mark.parametrize(
    ("key", "arrives"),
    [
        (None, True),
        (topic_is("alarms"), True),
        (topic_is("other"), False),
        (account_is("123456789012"), False),  # EventBridge does not send it to KMS
    ],
)
def test_a_rule_s_message_needs_a_key_policy_without_a_source(
    cloud: EmbeddedCloud, key: Statement | None, arrives: bool
) -> None:
    rule = source_is(f"arn:aws:events:{REGION}:{cloud.account}:rule/failures")
    box = inbox(cloud, "events.amazonaws.com", topic=rule, key=key)
    events = cloud.client("events")
    events.put_rule(Name="failures", EventPattern=json.dumps({"source": ["shop"]}))
    events.put_targets(Rule="failures", Targets=[{"Id": "topic", "Arn": box.topic}])
    events.put_events(Entries=[{"Source": "shop", "DetailType": "Failure", "Detail": "{}"}])
    if arrives:
        assert json.loads(box.first())["detail-type"] == "Failure"
    else:
        assert box.messages() == []


def test_dms_refuses_a_subscription_to_a_topic_that_it_may_not_publish_to(cloud: EmbeddedCloud) -> None:
    box = inbox(cloud, "cloudwatch.amazonaws.com")
    dms = cloud.client("dms")

    def subscribe(topic: str) -> None:
        dms.create_event_subscription(
            SubscriptionName="tasks", SnsTopicArn=topic, SourceType="replication-task", EventCategories=["failure"]
        )

    with pytest.raises(ClientError, match="SNSNoAuthorizationFault"):
        subscribe(box.topic)
    with pytest.raises(ClientError, match="SNSInvalidTopicFault"):
        subscribe(f"{box.topic}-other")
    cloud.reset()
    with pytest.raises(ClientError, match="KMSAccessDeniedFault"):
        subscribe(inbox(cloud, "dms.amazonaws.com", key=account_is("999999999999")).topic)
    cloud.reset()
    subscribe(inbox(cloud, "dms.amazonaws.com", topic=source_is(f"arn:aws:dms:{REGION}:{cloud.account}:es:*")).topic)


def test_a_replication_instance_has_no_state_changes(cloud: EmbeddedCloud) -> None:
    box = inbox(cloud, "dms.amazonaws.com")
    with pytest.raises(ClientError, match="state change is not one of"):
        cloud.client("dms").create_event_subscription(
            SubscriptionName="instance",
            SnsTopicArn=box.topic,
            SourceType="replication-instance",
            EventCategories=["state change"],
        )


def test_a_database_s_restart_reaches_the_subscriber_of_that_database(cloud: EmbeddedCloud) -> None:
    source = source_is(f"arn:aws:rds:{REGION}:{cloud.account}:*")
    box = inbox(cloud, "events.rds.amazonaws.com", topic=source | account_is(cloud.account))
    rds = cloud.client("rds")
    subscription = {
        "Type": "AWS::RDS::EventSubscription",
        "Properties": {
            "SubscriptionName": "database",
            "SnsTopicArn": box.topic,
            "SourceType": "db-instance",
            "SourceIds": ["payments"],
            "EventCategories": ["availability", "failure"],
            "Tags": [{"Key": "Environment", "Value": "target"}],
        },
    }
    formation = cloud.client("cloudformation")
    formation.create_stack(StackName="events", TemplateBody=json.dumps({"Resources": {"Database": subscription}}))
    formation.get_waiter("stack_create_complete").wait(StackName="events", WaiterConfig={"Delay": 1})
    (described,) = rds.describe_event_subscriptions()["EventSubscriptionsList"]
    assert described["EventCategoriesList"] == ["availability", "failure"]
    assert described["SourceIdsList"] == ["payments"]
    for name in ("payments", "other"):
        rds.create_db_instance(
            DBInstanceIdentifier=name,
            DBInstanceClass="db.r5.large",
            Engine="postgres",
            DBName="payments",
            MasterUsername="master",
            MasterUserPassword="master-secret",
        )
        rds.reboot_db_instance(DBInstanceIdentifier=name)
    assert json.loads(box.first()) | {"Event Time": ""} == {
        "Event Source": "db-instance",
        "Event Time": "",
        "Source ID": "payments",
        "Event Message": "DB instance restarted",
    }
    assert box.messages() == []


def test_rds_refuses_a_subscription_that_it_could_not_serve(cloud: EmbeddedCloud) -> None:
    rds, box = cloud.client("rds"), inbox(cloud, "dms.amazonaws.com")
    with pytest.raises(ClientError, match="SNSNoAuthorization"):
        rds.create_event_subscription(SubscriptionName="database", SnsTopicArn=box.topic)
    with pytest.raises(ClientError, match="event category outage is unknown"):
        rds.create_event_subscription(
            SubscriptionName="database", SnsTopicArn=box.topic, SourceType="db-instance", EventCategories=["outage"]
        )
