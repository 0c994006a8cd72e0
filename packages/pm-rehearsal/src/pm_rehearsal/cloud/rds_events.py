"""RDS event subscriptions: kept and described; an API that MiniStack lacks, and its CloudFormation type."""

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from pm_rehearsal.cloud.extension import Extension, Properties, Provider, Provisioned, Response

Record = dict[str, str]


def install(extension: Extension) -> None:
    """Add three actions to MiniStack's RDS, and the type on top of them."""
    _Subscriptions(extension).install()
    extension.provide(EventSubscription(extension))


class _Subscriptions:
    def __init__(self, extension: Extension) -> None:
        self._extension = extension
        self._rds = extension.module("services.rds")
        self._records: dict[tuple[str, str, str], Record] = {}
        extension.on_reset(self._records.clear)

    def install(self) -> None:
        self._rds._ACTION_MAP |= {
            "CreateEventSubscription": self._create,
            "DescribeEventSubscriptions": self._describe,
            "DeleteEventSubscription": self._delete,
        }

    def _create(self, parameters: Mapping[str, Any]) -> Response:
        read = self._rds._p
        record = {
            "CustSubscriptionId": read(parameters, "SubscriptionName"),
            "SnsTopicArn": read(parameters, "SnsTopicArn"),
            "SourceType": read(parameters, "SourceType"),
            "Enabled": read(parameters, "Enabled") or "true",
            "Status": "active",
        }
        self._records[self._key(parameters)] = record
        return self._answer("Create", _xml(record))

    def _describe(self, parameters: Mapping[str, Any]) -> Response:
        name, scope = self._rds._p(parameters, "SubscriptionName"), self._extension.scope()
        found = [
            record
            for key, record in self._records.items()
            if key[:2] == scope and name in ("", record["CustSubscriptionId"])
        ]
        if name and not found:
            return self._missing(name)
        listed = "".join(map(_xml, found))
        return self._answer("Describe", f"<EventSubscriptionsList>{listed}</EventSubscriptionsList>", plural="s")

    def _delete(self, parameters: Mapping[str, Any]) -> Response:
        record = self._records.pop(self._key(parameters), None)
        return self._answer("Delete", _xml(record)) if record else self._missing(self._key(parameters)[2])

    def _key(self, parameters: Mapping[str, Any]) -> tuple[str, str, str]:
        return (*self._extension.scope(), self._rds._p(parameters, "SubscriptionName"))

    def _answer(self, verb: str, body: str, plural: str = "") -> Response:
        action = f"{verb}EventSubscription{plural}"
        answer: Response = self._rds._xml(200, f"{action}Response", f"<{action}Result>{body}</{action}Result>")
        return answer

    def _missing(self, name: str) -> Response:
        answer: Response = self._rds._error("SubscriptionNotFound", f"Event Subscription {name} not found.", 404)
        return answer


def _xml(record: Record) -> str:
    fields = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in record.items())
    return f"<EventSubscription>{fields}</EventSubscription>"


class EventSubscription(Provider):
    """AWS::RDS::EventSubscription."""

    type_name = "AWS::RDS::EventSubscription"
    properties = frozenset({"Enabled", "EventCategories", "SnsTopicArn", "SourceIds", "SourceType", "SubscriptionName"})
    replace_on = frozenset({"SubscriptionName"})

    def __init__(self, extension: Extension) -> None:
        self._extension = extension

    def create(self, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        """Subscribe."""
        name = properties.get("SubscriptionName") or self._extension.physical_name(stack_name, logical_id, 255)
        return self._put(name, properties)

    def update(
        self, physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str
    ) -> Provisioned:
        """Subscribe anew under the same name."""
        del old, stack_name, logical_id
        return self._put(physical_id, new)

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Unsubscribe."""
        del properties
        client = self._extension.client("rds")
        try:
            client.delete_event_subscription(SubscriptionName=physical_id)
        except client.exceptions.SubscriptionNotFoundFault:
            return

    def _put(self, name: str, properties: Properties) -> Provisioned:
        given = {key: value for key, value in properties.items() if key != "SubscriptionName"}
        if "Enabled" in given:
            given["Enabled"] = str(given["Enabled"]).lower() == "true"
        self._extension.client("rds").create_event_subscription(SubscriptionName=name, **given)
        return name, {}
