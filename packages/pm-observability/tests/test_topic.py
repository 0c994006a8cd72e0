"""Who may publish to the topic, and use its key (rule 45)."""

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from pm_observability import (
    AlarmTopic,
    MonitoredEnvironment,
    MonitoredReplication,
    ServiceEvents,
    ServiceEventsProps,
)

ACCOUNT = "111122223333"
THIS_ACCOUNT = {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
Monitored = dict[str, MonitoredEnvironment]


def synthesized(monitored: Monitored, replication: MonitoredReplication | None) -> Template:
    stack = cdk.Stack(cdk.App(), "Topic", env=cdk.Environment(region="us-east-1", account=ACCOUNT))
    topic = AlarmTopic(stack, "AlarmTopic", environment="target", suffix="dev1")
    props = ServiceEventsProps(
        environment="target",
        suffix="dev1",
        topic=topic,
        database=monitored["target"].database,
        service=monitored["target"].service,
        replication=replication,
    )
    ServiceEvents(stack, "Events", props=props)
    return Template.from_stack(stack)


@pytest.fixture(scope="module")
def template(monitored: Monitored, replication: MonitoredReplication) -> Template:
    return synthesized(monitored, replication)


def by_service(statements: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        statement["Principal"]["Service"]: statement
        for statement in statements
        if statement["Effect"] == "Allow" and "Service" in statement["Principal"]
    }


@pytest.fixture(scope="module")
def key_policy(template: Template) -> dict[str, dict[str, Any]]:
    (key,) = template.find_resources("AWS::KMS::Key").values()
    return by_service(key["Properties"]["KeyPolicy"]["Statement"])


@pytest.fixture(scope="module")
def topic_policy(template: Template) -> dict[str, dict[str, Any]]:
    (policy,) = template.find_resources("AWS::SNS::TopicPolicy").values()
    return by_service(policy["Properties"]["PolicyDocument"]["Statement"])


def text(value: Any) -> str:
    """An ARN with ``aws`` for the partition."""
    if isinstance(value, dict):
        return "".join(part if isinstance(part, str) else "aws" for part in value["Fn::Join"][1])
    return str(value)


def test_topic_is_encrypted_with_its_own_key(template: Template) -> None:
    (key_id,) = template.find_resources("AWS::KMS::Key")
    (topic,) = template.find_resources("AWS::SNS::Topic").values()
    assert topic["Properties"]["KmsMasterKeyId"] == {"Fn::GetAtt": [key_id, "Arn"]}


def test_every_service_that_publishes_is_admitted_to_topic_and_key_and_no_other(
    key_policy: dict[str, Any], topic_policy: dict[str, Any]
) -> None:
    services = {"cloudwatch.amazonaws.com", "events.rds.amazonaws.com", "dms.amazonaws.com", "events.amazonaws.com"}
    assert set(key_policy) == set(topic_policy) == services
    assert {tuple(sorted(one["Action"])) for one in key_policy.values()} == {("kms:Decrypt", "kms:GenerateDataKey*")}
    assert {one["Action"] for one in topic_policy.values()} == {"sns:Publish"}


@pytest.mark.parametrize(
    ("service", "source"),
    [
        ("cloudwatch.amazonaws.com", f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:alarm-*-target-dev1"),
        ("events.rds.amazonaws.com", f"arn:aws:rds:us-east-1:{ACCOUNT}:*"),
    ],
)
def test_services_that_say_for_whom_they_act_act_for_this_account(
    key_policy: dict[str, Any], topic_policy: dict[str, Any], service: str, source: str
) -> None:
    assert key_policy[service]["Condition"] == THIS_ACCOUNT
    conditions = topic_policy[service]["Condition"]
    assert conditions["StringEquals"] == THIS_ACCOUNT["StringEquals"]
    assert text(conditions["ArnLike"]["aws:SourceArn"]) == source


def test_dms_acts_for_a_subscription_of_this_account_and_uses_the_key_for_this_topic_only(
    key_policy: dict[str, Any], topic_policy: dict[str, Any]
) -> None:
    source = topic_policy["dms.amazonaws.com"]["Condition"]["ArnLike"]["aws:SourceArn"]
    assert text(source) == f"arn:aws:dms:us-east-1:{ACCOUNT}:es:*"
    assert key_policy["dms.amazonaws.com"]["Condition"] == key_policy["events.amazonaws.com"]["Condition"]


def test_eventbridge_acts_for_one_rule_and_uses_the_key_for_this_topic_only(
    template: Template, key_policy: dict[str, Any], topic_policy: dict[str, Any]
) -> None:
    (rule,) = template.find_resources("AWS::Events::Rule").values()
    source = topic_policy["events.amazonaws.com"]["Condition"]["ArnEquals"]["aws:SourceArn"]
    assert text(source) == f"arn:aws:events:us-east-1:{ACCOUNT}:rule/{rule['Properties']['Name']}"
    # SNS documents that conditions on the source never hold in the key's policy for EventBridge.
    (condition,) = key_policy["events.amazonaws.com"]["Condition"].values()
    topic = condition["kms:EncryptionContext:aws:sns:topicArn"]
    assert text(topic) == f"arn:aws:sns:us-east-1:{ACCOUNT}:topic-alarms-target-dev1"


def test_nobody_publishes_without_tls(template: Template) -> None:
    (policy,) = template.find_resources("AWS::SNS::TopicPolicy").values()
    (denied,) = (one for one in policy["Properties"]["PolicyDocument"]["Statement"] if one["Effect"] == "Deny")
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_database_events_are_those_that_need_a_person(template: Template) -> None:
    (subscription,) = template.find_resources("AWS::RDS::EventSubscription").values()
    properties = subscription["Properties"]
    assert properties["SubscriptionName"] == "event-subscription-database-target-dev1"
    assert (properties["SourceType"], properties["SourceIds"]) == ("db-instance", ["database-target-dev1"])
    assert {"failover", "failure", "low storage", "maintenance"} < set(properties["EventCategories"])
    assert not {"backup", "creation", "configuration change"} & set(properties["EventCategories"])


def test_replication_events_are_failures_and_state_changes_of_every_task_and_of_the_instance(
    template: Template,
) -> None:
    subscriptions = {
        one["Properties"]["SourceType"]: one["Properties"]
        for one in template.find_resources("AWS::DMS::EventSubscription").values()
    }
    tasks, instance = subscriptions["replication-task"], subscriptions["replication-instance"]
    assert set(tasks["SourceIds"]) == {
        f"replication-task-{name}-target-dev1" for name in ("load", "forward", "reverse")
    }
    assert set(tasks["EventCategories"]) == {"failure", "state change"}
    assert instance["SourceIds"] == ["replication-instance-target-dev1"]
    assert set(instance["EventCategories"]) == {"failover", "failure", "low storage", "maintenance"}


def test_failed_deployments_of_this_service_are_events(template: Template) -> None:
    (rule,) = template.find_resources("AWS::Events::Rule").values()
    properties = rule["Properties"]
    pattern = properties["EventPattern"]
    assert pattern["source"] == ["aws.ecs"]
    assert pattern["detail"] == {"eventType": ["ERROR", "WARN"]}
    (service,) = pattern["resources"]
    assert text(service) == f"arn:aws:ecs:us-east-1:{ACCOUNT}:service/cluster-target-dev1/service-payments-target-dev1"
    (topic,) = template.find_resources("AWS::SNS::Topic")
    assert [target["Arn"] for target in properties["Targets"]] == [{"Ref": topic}]


def test_subscriptions_come_after_the_policies_that_they_are_tried_with(template: Template) -> None:
    (policy,) = template.find_resources("AWS::SNS::TopicPolicy")
    for kind in ("AWS::RDS::EventSubscription", "AWS::DMS::EventSubscription"):
        for subscription in template.find_resources(kind).values():
            assert policy in subscription["DependsOn"]


def test_an_environment_without_the_replication_admits_no_dms(monitored: Monitored) -> None:
    template = synthesized(monitored, None)
    assert template.find_resources("AWS::DMS::EventSubscription") == {}
    (policy,) = template.find_resources("AWS::SNS::TopicPolicy").values()
    assert "dms.amazonaws.com" not in by_service(policy["Properties"]["PolicyDocument"]["Statement"])


@pytest.mark.parametrize(("mail", "subscriptions"), [(None, 0), ("ops@acme.test", 1)])
def test_mail_is_subscribed_when_it_is_set(mail: str | None, subscriptions: int) -> None:
    stack = cdk.Stack(cdk.App(), "Mail")
    AlarmTopic(stack, "AlarmTopic", environment="target", suffix="dev1", mail=mail)
    found = Template.from_stack(stack).find_resources("AWS::SNS::Subscription").values()
    assert [one["Properties"]["Endpoint"] for one in found] == [mail] * subscriptions
