"""Where alarms and events go."""

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct, IConstruct

from pm_core import resource_name


class AlarmTopic(Construct):
    """A topic encrypted with its own key. Whoever is to publish must be admitted to both, CloudWatch is.

    A service that the key does not admit is refused without a trace: its messages are dropped.

    Args:
        scope: The parent.
        construct_id: The id.
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        mail: Who gets the messages by mail, once they have confirmed; None subscribes nobody.

    Attributes:
        topic: The topic.

    Source: Amazon SNS developer guide, "Enable compatibility between event sources from AWS services and encrypted
    topics".
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, environment: str, suffix: str, mail: str | None = None
    ) -> None:
        super().__init__(scope, construct_id)
        stack = cdk.Stack.of(self)
        self._key = kms.Key(
            self,
            "Key",
            alias=resource_name("alias", environment, suffix, qualifier="alarms"),
            description="Alarms of the payment migration",
            enable_key_rotation=True,
            pending_window=cdk.Duration.days(7),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        name = resource_name("topic", environment, suffix, qualifier="alarms")
        self.topic: sns.ITopic = sns.Topic(self, "Topic", topic_name=name, master_key=self._key, enforce_ssl=True)
        # By its name: the key cannot refer to the topic, which refers to it.
        self._arn = stack.format_arn(service="sns", resource=name)
        alarms = stack.format_arn(
            service="cloudwatch",
            resource="alarm",
            resource_name=resource_name("alarm", environment, suffix).replace("alarm-", "alarm-*-", 1),
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        self.admit(
            "CloudWatch",
            "cloudwatch.amazonaws.com",
            publishes={**self.this_account, "ArnLike": {"aws:SourceArn": alarms}},
            encrypts=self.this_account,
        )
        if mail is not None:
            sns.CfnSubscription(self, "Mail", topic_arn=self.topic.topic_arn, protocol="email", endpoint=mail)

    @property
    def policy(self) -> IConstruct:
        """Whom the topic admits; a service that tries the topic when it is subscribed must wait for it."""
        return self.topic.node.find_child("Policy")

    @property
    def subscribe_command(self) -> str:
        """What sends the alarms to a mailbox; its owner puts the address for ADDRESS."""
        return (
            f"aws sns subscribe --region {cdk.Stack.of(self).region} --protocol email"
            f" --topic-arn {self.topic.topic_arn} --notification-endpoint ADDRESS"
        )

    @property
    def this_account(self) -> Mapping[str, Mapping[str, str]]:
        """The condition that a service acts for this account."""
        return {"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}}

    @property
    def this_topic(self) -> Mapping[str, Mapping[str, str]]:
        """The condition that the key is used for this topic."""
        return {"StringEquals": {"kms:EncryptionContext:aws:sns:topicArn": self._arn}}

    def admit(self, sid: str, service: str, *, publishes: Mapping[str, object], encrypts: Mapping[str, object]) -> None:
        """Let an AWS service publish.

        Args:
            sid: Names the statements.
            service: Its principal.
            publishes: Conditions on publishing.
            encrypts: Conditions on using the key.
        """
        principal = iam.ServicePrincipal(service)
        self._key.add_to_resource_policy(
            iam.PolicyStatement(
                sid=sid,
                principals=[principal],
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                resources=["*"],
                conditions=encrypts,
            )
        )
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid=f"{sid}Publishes",
                principals=[principal],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions=publishes,
            )
        )
