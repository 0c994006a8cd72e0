"""Event subscriptions: state changes of tasks and instances, published to SNS."""

import json
import time

from pm_rehearsal.cloud.dms.infrastructure import Tags, arn_of
from pm_rehearsal.cloud.dms.store import Attributes, Resource, Shelf, check, describe
from pm_rehearsal.cloud.extension import Action, Extension, ServiceError
from pm_rehearsal.cloud.notifications import DMS, Notifications

# Source: `aws dms describe-event-categories`.
CATEGORIES = {
    "replication-task": ("state change", "creation", "deletion", "failure", "configuration change"),
    "replication-instance": (
        *("creation", "deletion", "failure", "configuration change", "maintenance", "failover", "low storage"),
    ),
}
_MODIFIABLE = ("SnsTopicArn", "SourceType", "EventCategories", "Enabled")


class Events:
    """Subscriptions, and who hears what.

    Args:
        extension: The running MiniStack.
        tags: Where tags are kept.
    """

    def __init__(self, extension: Extension, *, tags: Tags) -> None:
        self._extension = extension
        self._tags = tags
        self._notifications = Notifications(extension)
        self.subscriptions: Shelf[Resource] = Shelf(
            extension.scope, what="event subscription", keys=("CustSubscriptionId",)
        )

    def actions(self) -> dict[str, Action]:
        """By name."""
        return {
            "CreateEventSubscription": self.create,
            "ModifyEventSubscription": self.modify,
            "DeleteEventSubscription": self.delete,
            "DescribeEventSubscriptions": self.describe,
        }

    def create(self, request: Attributes) -> Attributes:
        """CreateEventSubscription."""
        check(
            request,
            required=("SubscriptionName", "SnsTopicArn"),
            optional=("SourceType", "EventCategories", "SourceIds", "Enabled", "Tags"),
        )
        _check_categories(request.get("SourceType") or "", request.get("EventCategories") or [])
        self._notifications.check(request["SnsTopicArn"], service=DMS, source=self._arn(request["SubscriptionName"]))
        account, _ = self._extension.scope()
        subscription = self.subscriptions.add(
            Resource(
                {
                    "CustomerAwsId": account,
                    "CustSubscriptionId": request["SubscriptionName"],
                    "SnsTopicArn": request["SnsTopicArn"],
                    "Status": "active",
                    "SubscriptionCreationTime": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
                    "SourceType": request.get("SourceType") or "",
                    "SourceIdsList": request.get("SourceIds") or [],
                    "EventCategoriesList": request.get("EventCategories") or [],
                    "Enabled": request.get("Enabled", True),
                }
            )
        )
        self._tags.set(self._arn(request["SubscriptionName"]), request.get("Tags") or [])
        return {"EventSubscription": subscription.attributes}

    def modify(self, request: Attributes) -> Attributes:
        """ModifyEventSubscription."""
        check(request, required=("SubscriptionName",), optional=_MODIFIABLE)
        subscription = self.subscriptions.get(request["SubscriptionName"])
        source = request.get("SourceType", subscription["SourceType"])
        categories = request.get("EventCategories", subscription["EventCategoriesList"])
        _check_categories(source, categories)
        subscription.attributes |= {
            "SnsTopicArn": request.get("SnsTopicArn", subscription["SnsTopicArn"]),
            "SourceType": source,
            "EventCategoriesList": categories,
            "Enabled": request.get("Enabled", subscription["Enabled"]),
        }
        return {"EventSubscription": subscription.attributes}

    def delete(self, request: Attributes) -> Attributes:
        """DeleteEventSubscription."""
        check(request, required=("SubscriptionName",))
        subscription = self.subscriptions.get(request["SubscriptionName"])
        self.subscriptions.remove(subscription)
        self._tags.forget(self._arn(request["SubscriptionName"]))
        return {"EventSubscription": subscription.attributes | {"Status": "deleting"}}

    def describe(self, request: Attributes) -> Attributes:
        """DescribeEventSubscriptions."""
        check(request, optional=("SubscriptionName", "Filters", "MaxRecords", "Marker"))
        found = self.subscriptions.all()
        if request.get("SubscriptionName"):
            found = [self.subscriptions.get(request["SubscriptionName"])]
        filters = {"event-subscription-id": "CustSubscriptionId"}
        return describe(found, request, "EventSubscriptionsList", filters)

    def publish(self, *, source: str, identifier: str, category: str, message: str) -> None:
        """Tell every enabled subscription that listens.

        Args:
            source: ``replication-task`` or ``replication-instance``.
            identifier: Its name.
            category: One of ``CATEGORIES``.
            message: What happened.
        """
        event = {
            "Event Source": source,
            "Event Time": time.strftime("%Y-%m-%d %H:%M:%S.000", time.gmtime()),
            "SourceId": identifier,
            "Event Message": message,
        }
        for subscription in self.subscriptions.all():
            if not _listens(subscription, source, identifier, category):
                continue
            self._notifications.publish(
                subscription["SnsTopicArn"],
                service=DMS,
                source=self._arn(subscription["CustSubscriptionId"]),
                subject="DMS Notification Message",
                message=json.dumps(event),
            )

    def _arn(self, subscription: str) -> str:
        return arn_of(self._extension, "es", subscription)


def _listens(subscription: Resource, source: str, identifier: str, category: str) -> bool:
    return (
        subscription["Enabled"]
        and subscription["SourceType"] in {"", source}
        and (not subscription["SourceIdsList"] or identifier in subscription["SourceIdsList"])
        and (not subscription["EventCategoriesList"] or category in subscription["EventCategoriesList"])
    )


def _check_categories(source: str, categories: list[str]) -> None:
    if not source and not categories:
        return
    if source not in CATEGORIES:
        raise ServiceError(
            "InvalidParameterValueException", f"SourceType {source!r} is not one of {', '.join(sorted(CATEGORIES))}"
        )
    unknown = sorted(set(categories) - set(CATEGORIES[source]))
    if unknown:
        raise ServiceError(
            "InvalidParameterValueException",
            f"EventCategories {', '.join(unknown)} is not one of {', '.join(CATEGORIES[source])}",
        )
