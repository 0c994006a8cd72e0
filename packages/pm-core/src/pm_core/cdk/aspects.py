"""What every resource of every stack must satisfy, whoever adds it: encrypted, and gone with its stack.

Both aspects only look: constructs are right by their own defaults, and a violation is an error that stops synthesis and
names the resource.
"""

from collections.abc import Callable, Mapping
from typing import Any

import aws_cdk as cdk
import jsii
from constructs import IConstruct

# A look at one resource's properties, all keys in lower case: what is wrong with it, or None.
Check = Callable[[Mapping[str, Any]], str | None]


def apply_aspects(stack: cdk.Stack) -> None:
    """Have both aspects look at a stack, after everything that changes it."""
    for aspect in (EncryptionAspect(), DestroyableAspect()):
        cdk.Aspects.of(stack).add(aspect, priority=cdk.AspectPriority.READONLY)


def _has(*path: str) -> Check:
    """The value at ``path`` is there and not empty."""

    def check(properties: Mapping[str, Any]) -> str | None:
        return None if _at(properties, path) else f"{'.'.join(path)} is missing"

    return check


def _is(value: Any, *path: str) -> Check:
    """The value at ``path`` is ``value``."""

    def check(properties: Mapping[str, Any]) -> str | None:
        found = _at(properties, path)
        return None if str(found).lower() == str(value).lower() else f"{'.'.join(path)} is {found!r}, not {value!r}"

    return check


def _every(*checks: Check) -> Check:
    def check(properties: Mapping[str, Any]) -> str | None:
        return next((problem for one in checks if (problem := one(properties))), None)

    return check


def _any(*checks: Check) -> Check:
    def check(properties: Mapping[str, Any]) -> str | None:
        problems = [one(properties) for one in checks]
        return None if None in problems else " and ".join(filter(None, problems))

    return check


def _variables_have_a_key(properties: Mapping[str, Any]) -> str | None:
    return _has("KmsKeyArn")(properties) if _at(properties, ("Environment", "Variables")) else None


def _symmetric_keys_rotate(properties: Mapping[str, Any]) -> str | None:
    spec = _at(properties, ("KeySpec",)) or "SYMMETRIC_DEFAULT"
    return _is(True, "EnableKeyRotation")(properties) if spec == "SYMMETRIC_DEFAULT" else None


_ENCRYPTION: dict[str, Check] = {
    "AWS::CloudTrail::Trail": _has("KmsKeyId"),
    "AWS::DMS::ReplicationInstance": _has("KmsKeyId"),
    "AWS::DynamoDB::Table": _is(True, "SSESpecification", "SSEEnabled"),
    "AWS::EC2::Volume": _is(True, "Encrypted"),
    "AWS::ECR::Repository": _is("KMS", "EncryptionConfiguration", "EncryptionType"),
    "AWS::EFS::FileSystem": _is(True, "Encrypted"),
    "AWS::ElastiCache::ReplicationGroup": _every(
        _is(True, "AtRestEncryptionEnabled"), _is(True, "TransitEncryptionEnabled")
    ),
    "AWS::KMS::Key": _symmetric_keys_rotate,
    "AWS::Kinesis::Stream": _has("StreamEncryption", "KeyId"),
    "AWS::Lambda::Function": _variables_have_a_key,
    "AWS::Logs::LogGroup": _has("KmsKeyId"),
    "AWS::OpenSearchService::Domain": _every(
        _is(True, "EncryptionAtRestOptions", "Enabled"), _is(True, "NodeToNodeEncryptionOptions", "Enabled")
    ),
    "AWS::RDS::DBCluster": _every(_is(True, "StorageEncrypted"), _has("KmsKeyId")),
    "AWS::RDS::DBInstance": _every(_is(True, "StorageEncrypted"), _has("KmsKeyId")),
    "AWS::Redshift::Cluster": _is(True, "Encrypted"),
    "AWS::S3::Bucket": _has("BucketEncryption"),
    "AWS::SNS::Topic": _has("KmsMasterKeyId"),
    "AWS::SQS::Queue": _any(_has("KmsMasterKeyId"), _is(True, "SqsManagedSSEEnabled")),
    "AWS::SecretsManager::Secret": _has("KmsKeyId"),
}

# What CloudFormation snapshots on deletion unless it is told to delete. Source: CloudFormation, DeletionPolicy.
_SNAPSHOT_BY_DEFAULT = {"AWS::RDS::DBCluster", "AWS::RDS::DBInstance"}
_PROTECTIONS = ("DeletionProtection", "DeletionProtectionEnabled")
_PROTECTABLE = {
    "AWS::Cognito::UserPool",
    "AWS::DynamoDB::Table",
    "AWS::Neptune::DBCluster",
    "AWS::RDS::DBCluster",
    "AWS::RDS::DBInstance",
}


@jsii.implements(cdk.IAspect)
class EncryptionAspect:
    """Refuses a resource that would hold data in clear text."""

    def visit(self, node: IConstruct) -> None:
        """Look at one construct; called by CDK."""
        if isinstance(node, cdk.CfnResource) and (check := _ENCRYPTION.get(node.cfn_resource_type)):
            problem = check(_properties(node))
            if problem:
                cdk.Annotations.of(node).add_error(
                    f"{node.cfn_resource_type} is not encrypted: {problem}. Everything that holds data is encrypted"
                )


@jsii.implements(cdk.IAspect)
class DestroyableAspect:
    """Refuses a resource that would outlive its stack, or keep it from being deleted."""

    def visit(self, node: IConstruct) -> None:
        """Look at one construct; called by CDK."""
        if not isinstance(node, cdk.CfnResource):
            return
        kind = node.cfn_resource_type
        options = node.cfn_options
        default = cdk.CfnDeletionPolicy.SNAPSHOT if kind in _SNAPSHOT_BY_DEFAULT else cdk.CfnDeletionPolicy.DELETE
        for name, policy in (
            ("DeletionPolicy", options.deletion_policy),
            ("UpdateReplacePolicy", options.update_replace_policy),
        ):
            if (policy or default) != cdk.CfnDeletionPolicy.DELETE:
                cdk.Annotations.of(node).add_error(
                    f"{kind} outlives its stack: {name} is {(policy or default).value}. Set RemovalPolicy.DESTROY"
                )
        if kind in _PROTECTABLE:
            properties = _properties(node)
            for name in _PROTECTIONS:
                if _at(properties, (name,)) in (True, "true", "ACTIVE"):
                    cdk.Annotations.of(node).add_error(f"{kind} cannot be deleted: {name} is on. Switch it off")


def _properties(resource: cdk.CfnResource) -> Mapping[str, Any]:
    """The properties with lower-case keys, whether written with a typed class (camelCase) or as JSON (PascalCase).

    Overrides of single properties are applied after all aspects and cannot be seen: what they would encrypt is refused.
    """
    resolved: Mapping[str, Any] = _lower(cdk.Stack.of(resource).resolve(resource._cfn_properties))
    return resolved


def _lower(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key.lower(): _lower(inner) for key, inner in value.items()}
    return [_lower(inner) for inner in value] if isinstance(value, list) else value


def _at(properties: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = properties
    for name in path:
        value = value.get(name.lower()) if isinstance(value, Mapping) else None
    return value
