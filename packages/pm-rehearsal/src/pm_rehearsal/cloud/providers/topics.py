"""AWS::SNS::Topic: the key that MiniStack drops."""

from typing import Any

from pm_rehearsal.cloud.extension import (
    CreateHandler,
    Extension,
    Properties,
    Provisioned,
    UpdateHandler,
)

KEY = "KmsMasterKeyId"


def install(extension: Extension) -> None:
    """Wrap the type."""
    topics = _Topics(extension)
    extension.wrap("AWS::SNS::Topic", create=topics.create, update=topics.update)


class _Topics:
    def __init__(self, extension: Extension) -> None:
        self._extension = extension

    def create(self, original: CreateHandler, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        result = original(logical_id, properties, stack_name)
        self._set_key(result[0], "", properties.get(KEY, ""))
        return result

    def update(
        self,
        original: UpdateHandler,
        physical_id: str,
        old: Properties,
        new: Properties,
        stack_name: str,
        logical_id: str,
    ) -> Provisioned:
        result = original(physical_id, old, new, stack_name, logical_id)
        self._set_key(result[0], old.get(KEY, ""), new.get(KEY, ""))
        return result

    def _set_key(self, topic: str, old: Any, new: Any) -> None:
        if old != new:
            self._extension.client("sns").set_topic_attributes(
                TopicArn=topic, AttributeName=KEY, AttributeValue=str(new)
            )
