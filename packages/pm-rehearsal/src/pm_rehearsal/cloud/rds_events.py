"""RDS event subscriptions: kept, described, told what the API does to instances; and their CloudFormation type."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from pm_rehearsal.cloud.extension import Extension, Properties, Provider, Provisioned, Response, ServiceError
from pm_rehearsal.cloud.notifications import RDS, Notifications

INSTANCE = "db-instance"
# Source: Amazon RDS user guide, "Amazon RDS event categories and event messages", DB instance events.
CATEGORIES = frozenset(
    {
        *("availability", "backtrack", "backup", "configuration change", "creation", "deletion", "failover"),
        *("failure", "low storage", "maintenance", "notification", "read replica", "recovery", "restoration"),
        *("security", "security patching"),
    }
)
# What happens after each of these actions: the category and the message of RDS.
_ACTIONS = {
    "CreateDBInstance": ("creation", "DB instance created"),
    "DeleteDBInstance": ("deletion", "DB instance deleted"),
    "RebootDBInstance": ("availability", "DB instance restarted"),
    "StartDBInstance": ("notification", "DB instance started"),
    "StopDBInstance": ("notification", "DB instance stopped"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Who hears what.

    Attributes:
        name: Its name.
        topic: ARN of the SNS topic.
        source_type: ``db-instance``; empty for everything.
        sources: Identifiers; empty for all.
        categories: Empty for all.
        enabled: Whether anything is sent.
    """

    name: str
    topic: str
    source_type: str = ""
    sources: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    enabled: bool = True

    def listens(self, identifier: str, category: str) -> bool:
        """Whether an event of an instance is for it."""
        return (
            self.enabled
            and self.source_type in {"", INSTANCE}
            and (not self.sources or identifier in self.sources)
            and (not self.categories or category in self.categories)
        )


def install(extension: Extension) -> None:
    """Add three actions to MiniStack's RDS, and the type on top of them; call it after the instances are in place."""
    _Subscriptions(extension).install()
    extension.provide(EventSubscription(extension))


class _Subscriptions:
    def __init__(self, extension: Extension) -> None:
        self._extension = extension
        self._notifications = Notifications(extension)
        self._rds = extension.module("services.rds")
        self._kept: dict[tuple[str, str, str], Subscription] = {}
        extension.on_reset(self._kept.clear)

    def install(self) -> None:
        actions = self._rds._ACTION_MAP
        for name, (category, message) in _ACTIONS.items():
            actions[name] = self._telling(actions[name], category, message)
        actions |= {
            "CreateEventSubscription": self._create,
            "DescribeEventSubscriptions": self._describe,
            "DeleteEventSubscription": self._delete,
        }

    def _telling(self, action: Any, category: str, message: str) -> Any:
        def told(parameters: Mapping[str, Any]) -> Response:
            answer: Response = action(parameters)
            if answer[0] < 400:
                self._publish(self._rds._p(parameters, "DBInstanceIdentifier"), category, message)
            return answer

        return told

    def _publish(self, identifier: str, category: str, message: str) -> None:
        event = {
            "Event Source": INSTANCE,
            "Event Time": time.strftime("%Y-%m-%d %H:%M:%S.000", time.gmtime()),
            "Source ID": identifier,
            "Event Message": message,
        }
        for (account, region, _), subscription in self._kept.items():
            if (account, region) == self._extension.scope() and subscription.listens(identifier, category):
                self._notifications.publish(
                    subscription.topic,
                    service=RDS,
                    source=f"arn:aws:rds:{self._notifications.place}:db:{identifier}",
                    subject="RDS Notification Message",
                    message=json.dumps(event),
                )

    def _create(self, parameters: Mapping[str, Any]) -> Response:
        read = self._rds._p
        subscription = Subscription(
            name=read(parameters, "SubscriptionName"),
            topic=read(parameters, "SnsTopicArn"),
            source_type=read(parameters, "SourceType"),
            sources=self._members(parameters, "SourceIds.SourceId"),
            categories=self._members(parameters, "EventCategories.EventCategory"),
            enabled=read(parameters, "Enabled") != "false",
        )
        unknown = sorted(set(subscription.categories) - CATEGORIES)
        if unknown or subscription.source_type not in {"", INSTANCE}:
            what = f"event category {', '.join(unknown)}" if unknown else f"source type {subscription.source_type}"
            return self._refused("SubscriptionCategoryNotFound", f"{what} is unknown to the embedded AWS")
        source = f"arn:aws:rds:{self._notifications.place}:es:{subscription.name}"
        try:
            self._notifications.check(subscription.topic, service=RDS, source=source)
        except ServiceError as error:
            return self._refused("SNSNoAuthorization", str(error))
        self._kept[self._key(parameters)] = subscription
        return self._answer("Create", _xml(subscription))

    def _describe(self, parameters: Mapping[str, Any]) -> Response:
        name, scope = self._rds._p(parameters, "SubscriptionName"), self._extension.scope()
        found = [one for key, one in self._kept.items() if key[:2] == scope and name in ("", one.name)]
        if name and not found:
            return self._missing(name)
        listed = "".join(map(_xml, found))
        return self._answer("Describe", f"<EventSubscriptionsList>{listed}</EventSubscriptionsList>", plural="s")

    def _delete(self, parameters: Mapping[str, Any]) -> Response:
        subscription = self._kept.pop(self._key(parameters), None)
        if subscription is None:
            return self._missing(self._key(parameters)[2])
        return self._answer("Delete", _xml(subscription))

    def _members(self, parameters: Mapping[str, Any], prefix: str) -> tuple[str, ...]:
        read = self._rds._p
        members: list[str] = []
        while value := read(parameters, f"{prefix}.{len(members) + 1}"):
            members.append(value)
        return tuple(members)

    def _key(self, parameters: Mapping[str, Any]) -> tuple[str, str, str]:
        return (*self._extension.scope(), self._rds._p(parameters, "SubscriptionName"))

    def _answer(self, verb: str, body: str, plural: str = "") -> Response:
        action = f"{verb}EventSubscription{plural}"
        answer: Response = self._rds._xml(200, f"{action}Response", f"<{action}Result>{body}</{action}Result>")
        return answer

    def _missing(self, name: str) -> Response:
        return self._refused("SubscriptionNotFound", f"Event Subscription {name} not found.", 404)

    def _refused(self, code: str, message: str, status: int = 400) -> Response:
        answer: Response = self._rds._error(code, message, status)
        return answer


def _xml(subscription: Subscription) -> str:
    fields = {
        "CustSubscriptionId": subscription.name,
        "SnsTopicArn": subscription.topic,
        "SourceType": subscription.source_type,
        "Enabled": str(subscription.enabled).lower(),
        "Status": "active",
    }
    lists = {
        "SourceIdsList": ("SourceId", subscription.sources),
        "EventCategoriesList": ("EventCategory", subscription.categories),
    }
    inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
    for name, (member, values) in lists.items():
        inner += f"<{name}>{''.join(f'<{member}>{escape(value)}</{member}>' for value in values)}</{name}>"
    return f"<EventSubscription>{inner}</EventSubscription>"


class EventSubscription(Provider):
    """AWS::RDS::EventSubscription; its tags are dropped."""

    type_name = "AWS::RDS::EventSubscription"
    properties = frozenset(
        {"Enabled", "EventCategories", "SnsTopicArn", "SourceIds", "SourceType", "SubscriptionName", "Tags"}
    )
    replace_on = frozenset({"SubscriptionName", "SnsTopicArn"})

    def __init__(self, extension: Extension) -> None:
        self._extension = extension

    def create(self, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        """Subscribe."""
        name = properties.get("SubscriptionName") or self._extension.physical_name(stack_name, logical_id, 255)
        self._rds.create_event_subscription(SubscriptionName=name, **_given(properties))
        return name, {}

    def update(
        self, physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str
    ) -> Provisioned:
        """Subscribe anew under the same name."""
        del stack_name, logical_id
        self.delete(physical_id, old)
        self._rds.create_event_subscription(SubscriptionName=physical_id, **_given(new))
        return physical_id, {}

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Unsubscribe."""
        del properties
        try:
            self._rds.delete_event_subscription(SubscriptionName=physical_id)
        except self._rds.exceptions.SubscriptionNotFoundFault:
            return

    @property
    def _rds(self) -> Any:
        return self._extension.client("rds")


def _given(properties: Properties) -> dict[str, Any]:
    given = {key: value for key, value in properties.items() if key not in {"SubscriptionName", "Tags"}}
    if "Enabled" in given:
        given["Enabled"] = str(given["Enabled"]).lower() == "true"
    return given
