"""ServiceEvents: what AWS services tell by themselves, to the topic of the alarms."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_dms as dms
from aws_cdk import aws_events as events
from aws_cdk import aws_rds as rds
from constructs import Construct

from pm_core import resource_name
from pm_observability.metrics import MonitoredDatabase, MonitoredReplication, MonitoredService
from pm_observability.topic import AlarmTopic

# Restarts, a standby that took over, lost storage, maintenance that takes the database away; not what we do ourselves.
_DATABASE_CATEGORIES = ("availability", "failover", "failure", "low storage", "maintenance", "recovery")
# A task that failed, that was started or stopped by whomever, or that paused reading because a disk is full.
_TASK_CATEGORIES = ("failure", "state change")
_INSTANCE_CATEGORIES = ("failover", "failure", "low storage", "maintenance")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceEventsProps:
    """What is told of.

    Attributes:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        topic: Where it is told.
        database: The environment's database.
        service: The environment's service.
        replication: The replication; None where there is none.
    """

    environment: str
    suffix: str
    topic: AlarmTopic
    database: MonitoredDatabase
    service: MonitoredService
    replication: MonitoredReplication | None = None


class ServiceEvents(Construct):
    """Events of RDS about the database, of DMS about tasks and instance, of ECS about deployments that fail.

    Each service is admitted to the topic for what is subscribed here, as its documentation says:

    - RDS sends the account and the ARN of what an event is about; a subscription is tried with its own ARN.
    - DMS documents ``aws:SourceArn``, the subscription's ARN, which holds the account.
    - EventBridge sends the rule's ARN to SNS and nothing of it to KMS, where only the topic can be told apart.

    Source: Amazon RDS user guide, "Granting permissions to publish notifications to an Amazon SNS topic"; AWS DMS user
    guide, "Validating the access policy of your SNS topic"; Amazon SNS developer guide, "Enable compatibility between
    event sources from AWS services and encrypted topics".
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: ServiceEventsProps) -> None:
        super().__init__(scope, construct_id)
        self._props = props
        self._database()
        self._service()
        if props.replication is not None:
            self._replication(props.replication)

    def _name(self, qualifier: str) -> str:
        return resource_name("event-subscription", self._props.environment, self._props.suffix, qualifier=qualifier)

    def _arn(self, service: str, resource: str) -> str:
        return cdk.Stack.of(self).format_arn(
            service=service, resource=resource, arn_format=cdk.ArnFormat.NO_RESOURCE_NAME
        )

    def _database(self) -> None:
        props, topic = self._props, self._props.topic
        topic.admit(
            "Rds",
            "events.rds.amazonaws.com",
            publishes={**topic.this_account, "ArnLike": {"aws:SourceArn": self._arn("rds", "*")}},
            encrypts=topic.this_account,
        )
        subscription = rds.CfnEventSubscription(
            self,
            "Database",
            subscription_name=self._name("database"),
            sns_topic_arn=topic.topic.topic_arn,
            source_type="db-instance",
            source_ids=[props.database.instance_id],
            event_categories=list(_DATABASE_CATEGORIES),
            enabled=True,
        )
        # RDS and DMS try the topic when they are subscribed to.
        subscription.node.add_dependency(topic.policy)

    def _service(self) -> None:
        props, topic = self._props, self._props.topic
        name = resource_name("event-rule", props.environment, props.suffix, qualifier="service")
        topic.admit(
            "EventBridge",
            "events.amazonaws.com",
            publishes={"ArnEquals": {"aws:SourceArn": self._arn("events", f"rule/{name}")}},
            encrypts=topic.this_topic,
        )
        service = self._arn("ecs", f"service/{props.service.cluster_name}/{props.service.service_name}")
        events.CfnRule(
            self,
            "Service",
            name=name,
            description="Deployments of the payment service that fail, and tasks that cannot be placed or started",
            event_pattern={
                "source": ["aws.ecs"],
                "detail-type": ["ECS Deployment State Change", "ECS Service Action"],
                "resources": [service],
                "detail": {"eventType": ["ERROR", "WARN"]},
            },
            targets=[events.CfnRule.TargetProperty(id="Topic", arn=topic.topic.topic_arn)],
        )

    def _replication(self, replication: MonitoredReplication) -> None:
        topic = self._props.topic
        by_a_subscription = {"ArnLike": {"aws:SourceArn": self._arn("dms", "es:*")}}
        topic.admit("Dms", "dms.amazonaws.com", publishes=by_a_subscription, encrypts=topic.this_topic)
        for construct_id, source_type, sources, categories in (
            ("Tasks", "replication-task", list(replication.task_identifiers.values()), _TASK_CATEGORIES),
            ("Instance", "replication-instance", [replication.instance_identifier], _INSTANCE_CATEGORIES),
        ):
            subscription = dms.CfnEventSubscription(
                self,
                construct_id,
                subscription_name=self._name(source_type),
                sns_topic_arn=topic.topic.topic_arn,
                source_type=source_type,
                source_ids=sources,
                event_categories=list(categories),
                enabled=True,
            )
            subscription.node.add_dependency(topic.policy)
