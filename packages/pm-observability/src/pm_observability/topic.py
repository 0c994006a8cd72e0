"""Where alarms go."""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct

from pm_core import resource_name


class AlarmTopic(Construct):
    """A topic encrypted with its own key, which CloudWatch of this account, and nobody else, may publish to.

    Without CloudWatch in the key's policy every alarm message would be dropped without a trace.

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
        cloudwatch = iam.ServicePrincipal("cloudwatch.amazonaws.com")
        this_account = {"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}}
        key = kms.Key(
            self,
            "Key",
            alias=resource_name("alias", environment, suffix, qualifier="alarms"),
            description="Alarms of the payment migration",
            enable_key_rotation=True,
            pending_window=cdk.Duration.days(7),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="CloudWatch",
                principals=[cloudwatch],
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                resources=["*"],
                conditions=this_account,
            )
        )
        self.topic: sns.ITopic = sns.Topic(
            self,
            "Topic",
            topic_name=resource_name("topic", environment, suffix, qualifier="alarms"),
            master_key=key,
            enforce_ssl=True,
        )
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="CloudWatchPublishes",
                principals=[cloudwatch],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions=this_account,
            )
        )
        if mail is not None:
            sns.CfnSubscription(self, "Mail", topic_arn=self.topic.topic_arn, protocol="email", endpoint=mail)
