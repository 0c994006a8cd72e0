"""Secrets Manager: secrets known by their ARN, attachments that name the instance, resource policies."""

import json
from typing import Any

from pm_rehearsal.cloud.extension import (
    CreateHandler,
    DeleteHandler,
    Extension,
    Properties,
    Provider,
    Provisioned,
    UpdateHandler,
)


def install(extension: Extension) -> None:
    """Correct AWS::SecretsManager::Secret and its attachment, add its resource policy."""
    secrets = _Secrets(extension)
    extension.wrap("AWS::SecretsManager::Secret", create=secrets.create, update=secrets.update, delete=secrets.delete)
    extension.provide(ResourcePolicy(extension))
    _name_the_instance(extension)


class _Secrets:
    """``Ref`` of a secret is its ARN; MiniStack answers with its name, by which it also keeps it."""

    def __init__(self, extension: Extension) -> None:
        self._store = extension.module("services.secretsmanager")

    def create(self, original: CreateHandler, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        _, attributes = original(logical_id, properties, stack_name)
        return attributes["Arn"], attributes

    def update(
        self,
        original: UpdateHandler,
        physical_id: str,
        old: Properties,
        new: Properties,
        stack_name: str,
        logical_id: str,
    ) -> Provisioned:
        _, attributes = original(self._name(physical_id), old, new, stack_name, logical_id)
        return attributes["Arn"], attributes

    def delete(self, original: DeleteHandler, physical_id: str, properties: Properties) -> None:
        original(self._name(physical_id), properties)

    def _name(self, arn: str) -> str:
        _, secret = self._store._resolve(arn)
        return secret["Name"] if secret else arn


class ResourcePolicy(Provider):
    """AWS::SecretsManager::ResourcePolicy; its physical id is the secret's ARN."""

    type_name = "AWS::SecretsManager::ResourcePolicy"
    properties = frozenset({"BlockPublicPolicy", "ResourcePolicy", "SecretId"})
    replace_on = frozenset({"SecretId"})

    def __init__(self, extension: Extension) -> None:
        self._extension = extension

    def create(self, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        """Put the policy."""
        del logical_id, stack_name
        policy = properties["ResourcePolicy"]
        self._extension.client("secretsmanager").put_resource_policy(
            SecretId=properties["SecretId"],
            ResourcePolicy=policy if isinstance(policy, str) else json.dumps(policy),
            BlockPublicPolicy=str(properties.get("BlockPublicPolicy", False)).lower() == "true",
        )
        return properties["SecretId"], {"Id": properties["SecretId"]}

    def update(
        self, physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str
    ) -> Provisioned:
        """Put the new policy."""
        del physical_id, old
        return self.create(logical_id, new, stack_name)

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Remove the policy; a secret that is gone took it along."""
        del physical_id
        client = self._extension.client("secretsmanager")
        try:
            client.delete_resource_policy(SecretId=properties["SecretId"])
        except client.exceptions.ResourceNotFoundException:
            return


def _name_the_instance(extension: Extension) -> None:
    """An attachment to an instance also writes ``dbInstanceIdentifier``, which rotation functions read."""
    provisioners = extension.module("services.cloudformation.provisioners")
    connection = provisioners._sm_target_connection

    def with_identifier(target_type: str, target_id: str) -> dict[str, Any]:
        found: dict[str, Any] = connection(target_type, target_id)
        return found | ({"dbInstanceIdentifier": target_id} if target_type == "AWS::RDS::DBInstance" else {})

    provisioners._sm_target_connection = with_identifier
    provisioners._SM_TARGET_KEYS = (*provisioners._SM_TARGET_KEYS, "dbInstanceIdentifier")
