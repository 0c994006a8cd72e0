"""Encryption at rest: by a table for the types that we know well, by CloudFormation's own schema for all others."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pm_core.cdk.rules.properties import (
    Check,
    Properties,
    at,
    each,
    either,
    equals,
    every,
    has,
    is_intrinsic,
    is_off,
    items,
    one_of,
    when,
)
from pm_core.cdk.rules.resource import Resource
from pm_core.cdk.rules.schema import Property, properties_of, structure_properties

# A bucket with this exemption may be encrypted with SSE-S3, because what delivers to it takes no key of ours.
SSE_S3_EXEMPTION = "pm:encrypted-with-sse-s3"

# A property with one of these words encrypts what the resource stores ...
_ENCRYPTS = re.compile(r"(^|_)(kms|cmk|sse|encrypted|encryption|customer_managed_key)(_|$)")
# ... unless another one says that it is about something else: how or for whom a key is used, or data on its way.
_IS_ABOUT_IT = re.compile(
    r"(^|_)(access|context|endpoint|in_transit|mode_of_use|node_to_node|password|period|policy|provider_uri|queries"
    r"|require|role|rotate|source_kms|transit)(_|$)"
)
# Switches inside structures that mean something only next to another property.
_ONLY_NEXT_TO = {
    "cachedataencrypted": "cachingenabled",
    "cloudwatchencryptionenabled": "cloudwatchloggroupname",
    "s3encryptionenabled": "s3bucketname",
}

# Types with such a property that store nothing which it would encrypt, each with the reason.
_STORES_NOTHING: Mapping[str, str] = {
    "AWS::CleanRooms::Collaboration": "DataEncryptionMetadata says how members compute on data that stays with them",
    "AWS::Config::DeliveryChannel": "it delivers to a bucket, which encrypts by itself and is looked at by itself",
    "AWS::CustomerProfiles::DomainObjectType": "the domain's DefaultEncryptionKey encrypts, and is looked at there",
    "AWS::CustomerProfiles::ObjectType": "the domain's DefaultEncryptionKey encrypts, and is looked at there",
    "AWS::EC2::TransitGateway": "EncryptionSupport admits networks with encryption controls; packets are not stored",
    "AWS::EC2::VPC": "VpcEncryptionControl says which instance types may start; packets are not stored",
    "AWS::IAM::SAMLProvider": "AssertionEncryptionMode is about messages of the identity provider",
    "AWS::Lambda::EventSourceMapping": "the key encrypts filter criteria, which are readable in the template",
}


def concerns_rest(kind: str) -> bool:
    """Whether :func:`unencrypted_at_rest` has anything to ask of a type."""
    return kind not in _STORES_NOTHING and (kind in _TABLE or _may_encrypt(kind))


@cache
def _may_encrypt(kind: str) -> bool:
    """Whether a type, or a structure that it takes at any depth, has a property that encrypts."""
    seen: set[type] = set()
    todo = list(properties_of(kind).values())
    while todo:
        prop = todo.pop()
        if _encrypts(prop) or prop.words.endswith("encryption_disabled"):
            return True
        for structure in prop.structures:
            if structure not in seen:
                seen.add(structure)
                todo.extend(structure_properties(kind, structure).values())
    return False


def unencrypted_at_rest(resource: Resource) -> str | None:
    """Why a resource would hold data in clear text, and what to do; None when it is fine.

    A type of the table is asked what the table says. Of any other type the schema lists the properties that encrypt:
    each switch among them must be on, and when there is none, one key or configuration must be set. In structures of
    any type that the resource uses, such as block devices, each such switch must be on, too.
    """
    if SSE_S3_EXEMPTION in resource.exemptions and resource.kind == "AWS::S3::Bucket":
        return has("BucketEncryption")(resource.properties)
    if resource.kind in _STORES_NOTHING:
        return None
    schema = properties_of(resource.kind)
    check = _TABLE.get(resource.kind)
    problem = check(resource.properties) if check else _by_schema(resource, schema)
    return problem or next(_switched_off(resource, schema), None)


def _by_schema(resource: Resource, schema: Mapping[str, Property]) -> str | None:
    encrypting = [prop for prop in schema.values() if _encrypts(prop)]
    if not encrypting:
        return None
    switches = [prop.name for prop in encrypting if prop.is_switch]
    for name in switches:
        if is_off(at(resource.properties, name)):
            return f"{name} is {_said(at(resource.properties, name))}: set it to true"
    if switches or any(_is_on(at(resource.properties, prop.name)) for prop in encrypting):
        return None
    names = " or ".join(prop.name for prop in encrypting)
    return f"{names} is missing or off: set it to a customer key"


def _encrypts(prop: Property) -> bool:
    return bool(_ENCRYPTS.search(prop.words)) and not _IS_ABOUT_IT.search(prop.words)


def _is_on(value: Any) -> bool:
    """Whether a key, a mode or a configuration encrypts."""
    if not isinstance(value, Mapping) or is_intrinsic(value):
        return not is_off(value)
    says_no = any(
        is_off(inner) for name, inner in value.items() if re.search("enabled$|encrypt|mode$|type$|status$", name)
    )
    return not says_no and any(_is_on(inner) for inner in value.values())


def _switched_off(resource: Resource, schema: Mapping[str, Property]) -> Iterator[str]:
    """Switches of encryption that are off in the structures that a resource uses."""
    if any(prop.structures for prop in schema.values()):
        for prop in schema.values():
            yield from _structures(resource.kind, prop, at(resource.properties, prop.name), prop.name)


def _structures(kind: str, prop: Property, value: Any, path: str) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _structures(kind, prop, item, path)
    elif isinstance(value, Mapping) and not is_intrinsic(value):
        for structure in prop.structures:
            known = structure_properties(kind, structure)
            yield from _in_structure(kind, known, value, path)


def _in_structure(kind: str, known: Mapping[str, Property], value: Properties, path: str) -> Iterator[str]:
    for name, inner in known.items():
        found, where = value.get(name), f"{path}.{inner.name}"
        if inner.is_switch and inner.words.endswith("encryption_disabled"):
            if not is_off(found):
                yield f"{where} is {_said(found)}: set it to false"
        elif inner.is_switch and _encrypts(inner):
            alone = name in _ONLY_NEXT_TO and is_off(value.get(_ONLY_NEXT_TO[name]))
            if is_off(found) and not alone:
                yield f"{where} is {_said(found)}: set it to true"
        elif found is not None and inner.structures:
            yield from _structures(kind, inner, found, where)


def _said(value: Any) -> str:
    return "missing" if value is None else str(value).lower()


def _key_for_variables(properties: Properties) -> str | None:
    return has("KmsKeyArn")(properties) if at(properties, "Environment", "Variables") else None


def _rotated(properties: Properties) -> str | None:
    spec = at(properties, "KeySpec") or "SYMMETRIC_DEFAULT"
    return equals(True, "EnableKeyRotation")(properties) if spec == "SYMMETRIC_DEFAULT" else None


def _key_of_ours(properties: Properties) -> str | None:
    """SSE-KMS for every object; SSE-S3 is AWS's key, for which no access is asked and none is logged."""
    path = ("BucketEncryption", "ServerSideEncryptionConfiguration")
    rules = list(items(properties, *path))
    if not rules:
        return f"{'.'.join(path)} is missing: set it to aws:kms with a customer key"
    return each(one_of(("aws:kms", "aws:kms:dsse"), "ServerSideEncryptionByDefault", "SSEAlgorithm"), *path)(properties)


def _uses_insights(properties: Properties) -> bool:
    return not is_off(at(properties, "EnablePerformanceInsights"))


def _manages_password(properties: Properties) -> bool:
    return not is_off(at(properties, "ManageMasterUserPassword"))


def _boots_an_image(properties: Properties) -> bool:
    return at(properties, "ImageId") is not None


_DATABASE = every(
    equals(True, "StorageEncrypted"),
    has("KmsKeyId"),
    when(_uses_insights, has("PerformanceInsightsKmsKeyId")),
    when(_manages_password, has("MasterUserSecret", "KmsKeyId")),
)
_OPENSEARCH = equals(True, "EncryptionAtRestOptions", "Enabled")
_FILE_SHARE = either(equals(True, "KMSEncrypted"), one_of(("SseKms", "DsseKms"), "EncryptionType"))
_CREDENTIALS = either(has("CmkSecretConfig"), has("CustomSecretConfig"))

# Types for which the schema alone is not enough: several properties belong together, one of several ways is enough, the
# property is called otherwise, or AWS's default is right. Source: CloudFormation's template reference of each type.
_TABLE: Mapping[str, Check] = {
    "AWS::Athena::WorkGroup": either(
        has("WorkGroupConfiguration", "ResultConfiguration", "EncryptionConfiguration"),
        has("WorkGroupConfiguration", "ManagedQueryResultsConfiguration", "EncryptionConfiguration"),
    ),
    # The volumes of an image are as the image was made, unless the block devices say otherwise.
    "AWS::AutoScaling::LaunchConfiguration": has("BlockDeviceMappings"),
    "AWS::CloudTrail::Trail": has("KmsKeyId"),
    "AWS::CodePipeline::Pipeline": either(
        has("ArtifactStore", "EncryptionKey"),
        every(has("ArtifactStores"), each(has("ArtifactStore", "EncryptionKey"), "ArtifactStores")),
    ),
    "AWS::DAX::Cluster": equals(True, "SSESpecification", "SSEEnabled"),
    "AWS::DMS::ReplicationInstance": has("KmsKeyId"),
    "AWS::DataSync::LocationAzureBlob": _CREDENTIALS,
    "AWS::DataSync::LocationFSxWindows": _CREDENTIALS,
    "AWS::DataSync::LocationHDFS": _CREDENTIALS,
    "AWS::DataSync::LocationObjectStorage": _CREDENTIALS,
    "AWS::DataSync::LocationSMB": _CREDENTIALS,
    "AWS::DocDB::DBCluster": every(
        equals(True, "StorageEncrypted"),
        has("KmsKeyId"),
        when(_manages_password, has("MasterUserSecretKmsKeyId")),
    ),
    "AWS::DynamoDB::GlobalTable": equals(True, "SSESpecification", "SSEEnabled"),
    "AWS::DynamoDB::Table": equals(True, "SSESpecification", "SSEEnabled"),
    "AWS::EC2::Instance": when(_boots_an_image, has("BlockDeviceMappings")),
    "AWS::EC2::LaunchTemplate": when(
        lambda properties: at(properties, "LaunchTemplateData", "ImageId") is not None,
        has("LaunchTemplateData", "BlockDeviceMappings"),
    ),
    "AWS::EC2::Volume": equals(True, "Encrypted"),
    "AWS::ECR::Repository": one_of(("KMS", "KMS_DSSE"), "EncryptionConfiguration", "EncryptionType"),
    "AWS::EFS::FileSystem": equals(True, "Encrypted"),
    "AWS::EMR::Cluster": has("SecurityConfiguration"),
    "AWS::ElastiCache::ReplicationGroup": equals(True, "AtRestEncryptionEnabled"),
    "AWS::Elasticsearch::Domain": _OPENSEARCH,
    "AWS::Glue::Crawler": has("CrawlerSecurityConfiguration"),
    "AWS::Glue::DevEndpoint": has("SecurityConfiguration"),
    "AWS::Glue::Job": has("SecurityConfiguration"),
    "AWS::KMS::Key": _rotated,
    "AWS::Kinesis::Stream": has("StreamEncryption", "KeyId"),
    "AWS::KinesisFirehose::DeliveryStream": either(
        has("DeliveryStreamEncryptionConfigurationInput"),
        # What comes from a stream is kept there.
        has("KinesisStreamSourceConfiguration"),
    ),
    "AWS::Lambda::Function": _key_for_variables,
    "AWS::Logs::LogGroup": has("KmsKeyId"),
    "AWS::MSK::Cluster": has("EncryptionInfo", "EncryptionAtRest", "DataVolumeKMSKeyId"),
    "AWS::Neptune::DBCluster": every(equals(True, "StorageEncrypted"), has("KmsKeyId")),
    "AWS::OpenSearchService::Domain": _OPENSEARCH,
    "AWS::RDS::DBCluster": _DATABASE,
    # An instance of a cluster has the cluster's storage.
    "AWS::RDS::DBInstance": when(lambda properties: at(properties, "DBClusterIdentifier") is None, _DATABASE),
    "AWS::Redshift::Cluster": every(equals(True, "Encrypted"), has("KmsKeyId")),
    "AWS::RedshiftServerless::Namespace": has("KmsKeyId"),
    "AWS::S3::Bucket": _key_of_ours,
    "AWS::S3Express::DirectoryBucket": _key_of_ours,
    "AWS::SNS::Topic": has("KmsMasterKeyId"),
    "AWS::SQS::Queue": either(has("KmsMasterKeyId"), equals(True, "SqsManagedSseEnabled")),
    "AWS::SecretsManager::Secret": has("KmsKeyId"),
    "AWS::Serverless::Function": _key_for_variables,
    "AWS::StorageGateway::NFSFileShare": _FILE_SHARE,
    "AWS::StorageGateway::SMBFileShare": _FILE_SHARE,
    "AWS::WorkSpaces::Workspace": every(
        equals(True, "RootVolumeEncryptionEnabled"), equals(True, "UserVolumeEncryptionEnabled")
    ),
    "AWS::Synthetics::Canary": when(
        lambda properties: bool(at(properties, "RunConfig", "EnvironmentVariables")), has("KmsKeyArn")
    ),
}
