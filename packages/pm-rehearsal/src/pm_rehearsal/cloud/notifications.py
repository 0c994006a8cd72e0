"""Notifications of AWS services to SNS topics: what the policies of topic and key do not allow is dropped, as on AWS.

MiniStack delivers whatever a service sends. AWS asks the topic's policy whether the service may publish and, when the
topic is encrypted, the key's policy whether it may use the key; a message that is refused leaves no trace there, and
here a warning in the server's log.

Source: Amazon SNS developer guide, "Enable compatibility between event sources from AWS services and encrypted topics".
"""

import logging
from collections.abc import Mapping
from typing import Any

from pm_rehearsal.cloud.extension import Extension, ServiceError

CLOUDWATCH, EVENTBRIDGE = "cloudwatch.amazonaws.com", "events.amazonaws.com"
DMS, RDS = "dms.amazonaws.com", "events.rds.amazonaws.com"
MANAGED_KEY = "alias/aws/sns"
_USES_OF_A_KEY = ("kms:GenerateDataKey", "kms:Decrypt")
# Of nobody's account, so that a statement for the account's own principals does not let a service in.
_SERVICE = "arn:aws:iam::000000000000:service"

log = logging.getLogger(__name__)


def install(extension: Extension) -> None:
    """Let CloudWatch's alarms and EventBridge's rules ask the policies before they publish."""
    notifications = Notifications(extension)
    cloudwatch = extension.module("services.cloudwatch")
    eventbridge = extension.module("services.eventbridge")
    dispatch, invoke = cloudwatch._dispatch_alarm_actions, eventbridge._invoke_target

    def alarmed(alarm: Mapping[str, Any], old_state: str, new_state: str, reason: str) -> None:
        source = f"arn:aws:cloudwatch:{notifications.place}:alarm:{alarm.get('AlarmName', '')}"
        lists = ("AlarmActions", "OKActions", "InsufficientDataActions")
        kept = {
            name: [
                topic
                for topic in alarm.get(name) or []
                if ":sns:" not in topic or notifications.admits(topic, service=CLOUDWATCH, source=source)
            ]
            for name in lists
        }
        dispatch({**alarm, **kept}, old_state, new_state, reason)

    def invoked(target: Mapping[str, Any], event: Any, rule: Mapping[str, Any], view: Any = None) -> None:
        topic = target.get("Arn", "")
        if ":sns:" in topic and not notifications.admits(topic, service=EVENTBRIDGE, source=rule["Arn"]):
            return
        invoke(target, event, rule, view)

    cloudwatch._dispatch_alarm_actions = alarmed
    eventbridge._invoke_target = invoked


class Notifications:
    """Asks the policies of topics and their keys, and publishes for a service.

    Args:
        extension: The running MiniStack.
    """

    def __init__(self, extension: Extension) -> None:
        self._extension = extension
        self._sns = extension.module("services.sns")
        self._kms = extension.module("services.kms")
        self._evaluator = extension.module("core.iam_evaluator")

    @property
    def place(self) -> str:
        """The caller's ``<region>:<account>``, as ARNs have it."""
        account, region = self._extension.scope()
        return f"{region}:{account}"

    def check(self, topic: str, *, service: str, source: str) -> None:
        """What DMS and RDS do when a subscription is made.

        Args:
            topic: The topic's ARN.
            service: The service's principal, for example ``dms.amazonaws.com``.
            source: ARN of what the notification is about.

        Raises:
            ServiceError: There is no such topic, or the service may not publish to it.
        """
        if topic not in self._sns._topics:
            raise ServiceError("SNSInvalidTopicFault", f"{topic} is no topic")
        if refusal := self._refusal(topic, service, source):
            code = "KMSAccessDeniedFault" if refusal.startswith("key") else "SNSNoAuthorizationFault"
            raise ServiceError(code, f"{service} may not publish to {topic}: {refusal}")

    def admits(self, topic: str, *, service: str, source: str) -> bool:
        """Whether a message of a service gets through; one that does not is noted in the log."""
        refusal = "no such topic" if topic not in self._sns._topics else self._refusal(topic, service, source)
        if refusal:
            log.warning("message of %s about %s to %s is dropped: %s", service, source, topic, refusal)
        return not refusal

    def publish(self, topic: str, *, service: str, source: str, subject: str, message: str) -> None:
        """Publish for a service, if the policies let it."""
        if self.admits(topic, service=service, source=source):
            self._sns.publish_internal(topic, message, subject)

    def _refusal(self, topic: str, service: str, source: str) -> str:
        account, region = self._extension.scope()
        attributes = self._sns._topics[topic]["attributes"]
        facts = {"aws:sourcearn": source, "aws:sourceaccount": account, "aws:sourceowner": account}
        if not self._allows(attributes.get("Policy"), service, "sns:Publish", topic, facts, region):
            return "topic: its policy does not admit the service"
        name = attributes.get("KmsMasterKeyId") or ""
        if not name or name == MANAGED_KEY:
            return "key: alias/aws/sns admits no service" if name else ""
        key = self._kms._resolve_key(name)
        if key is None:
            return f"key: there is no {name}"
        # For EventBridge these two are not in the request to KMS, so that a condition on them never holds.
        if service == EVENTBRIDGE:
            facts = {"aws:sourceowner": account}
        context = facts | {"kms:encryptioncontext:aws:sns:topicarn": topic}
        for action in _USES_OF_A_KEY:
            if not self._allows(key["Policy"], service, action, key["Arn"], context, region):
                return f"key: its policy does not allow {action}"
        return ""

    def _allows(
        self, policy: object, service: str, action: str, resource: str, facts: Mapping[str, str], region: str
    ) -> bool:
        question = self._evaluator.EvalContext(
            principal_arn=f"{_SERVICE}/{service}",
            principal_type="Service",
            principal_account="000000000000",
            action=action,
            resource_arn=resource,
            region=region,
            secure_transport=True,  # the server speaks plain HTTP on the loopback interface only
            service_context=dict(facts),
        )
        return str(self._evaluator.evaluate_resource_policy(policy, question, service=service).decision) == "Allow"
