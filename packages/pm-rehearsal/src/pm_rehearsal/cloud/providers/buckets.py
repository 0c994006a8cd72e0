"""AWS::S3::Bucket: the properties that MiniStack drops, put through the S3 API; a bucket must be empty to go."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from pm_rehearsal.cloud.extension import (
    CreateHandler,
    DeleteHandler,
    Extension,
    Properties,
    Provisioned,
    UnsupportedPropertyError,
    UpdateHandler,
)

MANAGED_KEY = "alias/aws/s3"
# What MiniStack itself applies, then what this module adds.
OWN = frozenset(
    {
        *("BucketName", "CorsConfiguration", "NotificationConfiguration", "PublicAccessBlockConfiguration"),
        *("VersioningConfiguration", "WebsiteConfiguration"),
    }
)
CANNED_ACL = {"LogDeliveryWrite": "log-delivery-write", "Private": "private"}


def install(extension: Extension) -> None:
    """Wrap the type, and let writes with ``aws:kms`` and no key use the AWS managed key."""
    buckets = _Buckets(extension)
    extension.wrap("AWS::S3::Bucket", create=buckets.create, update=buckets.update, delete=buckets.delete)
    _default_to_managed_key(extension)


class _Buckets:
    def __init__(self, extension: Extension) -> None:
        self._extension = extension

    @property
    def _s3(self) -> Any:
        return self._extension.client("s3")

    def create(self, original: CreateHandler, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        self._refuse_unknown(properties)
        result = original(logical_id, properties, stack_name)
        try:
            self._apply(result[0], {}, properties)
        except Exception:
            original_delete = self._extension.module("services.cloudformation.provisioners")._s3_delete
            original_delete(result[0], properties)  # CloudFormation does not delete what failed to be created
            raise
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
        self._refuse_unknown(new)
        result = original(physical_id, old, new, stack_name, logical_id)
        self._apply(result[0], old if result[0] == physical_id else {}, new)
        return result

    def delete(self, original: DeleteHandler, physical_id: str, properties: Properties) -> None:
        client = self._s3
        try:
            held = client.list_object_versions(Bucket=physical_id, MaxKeys=1)
        except client.exceptions.NoSuchBucket:
            return
        if held.get("Versions") or held.get("DeleteMarkers"):
            raise ValueError(f"the bucket {physical_id} still holds objects: empty it, then delete the stack again")
        # MiniStack would keep both for the next bucket of this name.
        client.delete_bucket_replication(Bucket=physical_id)
        client.put_bucket_logging(Bucket=physical_id, BucketLoggingStatus={})
        original(physical_id, properties)

    def _refuse_unknown(self, properties: Properties) -> None:
        known = OWN | self._setters().keys() | {"ObjectLockEnabled"}
        unknown = sorted(properties.keys() - known)
        if properties.get("AccessControl", "Private") not in CANNED_ACL:
            unknown.append(f"AccessControl {properties['AccessControl']}")
        if unknown:
            raise UnsupportedPropertyError(
                f"AWS::S3::Bucket: property {', '.join(unknown)} is not supported by the embedded AWS; "
                f"it honours {', '.join(sorted(known))}"
            )

    def _apply(self, bucket: str, old: Properties, new: Properties) -> None:
        for name, (put, remove) in self._setters().items():
            if new.get(name) == old.get(name):
                continue
            if new.get(name):
                put(bucket, new[name])
            else:
                remove(bucket)
        if _true(new.get("ObjectLockEnabled")) and not new.get("ObjectLockConfiguration"):
            self._s3.put_object_lock_configuration(
                Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
            )

    def _set_acl(self, bucket: str, value: str) -> None:
        try:
            self._s3.put_bucket_acl(Bucket=bucket, ACL=CANNED_ACL[value])
        except ClientError as error:
            if value != "Private" or error.response["Error"]["Code"] != "AccessControlListNotSupported":
                raise  # a bucket without access lists is private as it is

    def _setters(self) -> dict[str, tuple[Callable[[str, Any], Any], Callable[[str], Any]]]:
        """By property: how to put it, how to take it away. Versioning comes before what needs it."""
        s3 = self._s3
        return {
            "Tags": (
                lambda bucket, tags: s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": list(tags)}),
                lambda bucket: s3.delete_bucket_tagging(Bucket=bucket),
            ),
            "OwnershipControls": (
                lambda bucket, value: s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=value),
                lambda bucket: s3.delete_bucket_ownership_controls(Bucket=bucket),
            ),
            "AccessControl": (
                lambda bucket, value: self._set_acl(bucket, value),
                lambda bucket: self._set_acl(bucket, "Private"),
            ),
            "BucketEncryption": (
                lambda bucket, value: s3.put_bucket_encryption(
                    Bucket=bucket, ServerSideEncryptionConfiguration=_encryption(value)
                ),
                lambda bucket: s3.delete_bucket_encryption(Bucket=bucket),
            ),
            "LifecycleConfiguration": (
                lambda bucket, value: s3.put_bucket_lifecycle_configuration(
                    Bucket=bucket, LifecycleConfiguration={"Rules": [_lifecycle_rule(rule) for rule in value["Rules"]]}
                ),
                lambda bucket: s3.delete_bucket_lifecycle(Bucket=bucket),
            ),
            "LoggingConfiguration": (
                lambda bucket, value: s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus=_logging(bucket, value)),
                lambda bucket: s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={}),
            ),
            "ObjectLockConfiguration": (
                lambda bucket, value: s3.put_object_lock_configuration(
                    Bucket=bucket, ObjectLockConfiguration=_object_lock(value)
                ),
                _refuse_unlocking,
            ),
            "ReplicationConfiguration": (
                lambda bucket, value: s3.put_bucket_replication(
                    Bucket=bucket, ReplicationConfiguration=_replication(value)
                ),
                lambda bucket: s3.delete_bucket_replication(Bucket=bucket),
            ),
        }


def _true(value: Any) -> bool:
    return str(value).lower() == "true"


def _refuse_unlocking(bucket: str) -> None:
    raise ValueError(f"object lock of bucket {bucket} cannot be taken away")


def _encryption(value: Properties) -> dict[str, Any]:
    rules = []
    for rule in value["ServerSideEncryptionConfiguration"]:
        default = dict(rule["ServerSideEncryptionByDefault"])
        if default["SSEAlgorithm"] == "aws:kms":
            default.setdefault("KMSMasterKeyID", MANAGED_KEY)
        keyed = {"BucketKeyEnabled": _true(rule["BucketKeyEnabled"])} if "BucketKeyEnabled" in rule else {}
        rules.append({"ApplyServerSideEncryptionByDefault": default, **keyed})
    return {"Rules": rules}


def _lifecycle_rule(rule: Properties) -> dict[str, Any]:
    """A rule in the template's words, in the API's."""
    result: dict[str, Any] = {"Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    unknown = sorted(
        rule.keys()
        - {
            *("Id", "Status", "Prefix", "ExpirationInDays", "ExpiredObjectDeleteMarker", "Transitions"),
            *("NoncurrentVersionExpiration", "NoncurrentVersionTransitions", "AbortIncompleteMultipartUpload"),
        }
    )
    if unknown:
        raise UnsupportedPropertyError(
            f"AWS::S3::Bucket: lifecycle property {', '.join(unknown)} is not supported by the embedded AWS"
        )
    if "Id" in rule:
        result["ID"] = rule["Id"]
    if "ExpirationInDays" in rule:
        result["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
    elif _true(rule.get("ExpiredObjectDeleteMarker")):
        result["Expiration"] = {"ExpiredObjectDeleteMarker": True}
    if rule.get("Transitions"):
        result["Transitions"] = [
            {"StorageClass": item["StorageClass"], "Days": int(item["TransitionInDays"])}
            for item in rule["Transitions"]
        ]
    if "NoncurrentVersionExpiration" in rule:
        result["NoncurrentVersionExpiration"] = _integers(rule["NoncurrentVersionExpiration"])
    if rule.get("NoncurrentVersionTransitions"):
        result["NoncurrentVersionTransitions"] = [
            {"StorageClass": item["StorageClass"], "NoncurrentDays": int(item["TransitionInDays"])}
            for item in rule["NoncurrentVersionTransitions"]
        ]
    if "AbortIncompleteMultipartUpload" in rule:
        result["AbortIncompleteMultipartUpload"] = _integers(rule["AbortIncompleteMultipartUpload"])
    return result


def _integers(values: Properties) -> dict[str, int]:
    return {name: int(value) for name, value in values.items()}


def _logging(bucket: str, value: Properties) -> dict[str, Any]:
    target = {
        "TargetBucket": value.get("DestinationBucketName", bucket),
        "TargetPrefix": value.get("LogFilePrefix", ""),
    }
    return {"LoggingEnabled": target}


def _object_lock(value: Properties) -> dict[str, Any]:
    result: dict[str, Any] = {"ObjectLockEnabled": "Enabled"}
    if value.get("Rule"):
        retention = value["Rule"]["DefaultRetention"]
        result["Rule"] = {
            "DefaultRetention": {
                name: int(item) if name in {"Days", "Years"} else item for name, item in retention.items()
            }
        }
    return result


def _replication(value: Properties) -> dict[str, Any]:
    rules = []
    for rule in value["Rules"]:
        result = {"ID" if name == "Id" else name: item for name, item in rule.items()}
        if "Priority" in result:
            result["Priority"] = int(result["Priority"])
        if "Filter" in result:
            if unknown := sorted(result["Filter"].keys() - {"Prefix"}):
                raise UnsupportedPropertyError(
                    f"AWS::S3::Bucket: replication filter {', '.join(unknown)} is not supported by the embedded AWS"
                )
            result["Filter"] = {"Prefix": result["Filter"].get("Prefix", "")}
        destination = dict(result["Destination"])
        for name in ("Metrics", "ReplicationTime"):
            if name in destination:
                destination[name] = _minutes(destination[name])
        rules.append(result | {"Destination": destination})
    return {"Role": value["Role"], "Rules": rules}


def _minutes(value: Properties) -> dict[str, Any]:
    return {name: {"Minutes": int(item["Minutes"])} if isinstance(item, dict) else item for name, item in value.items()}


def _default_to_managed_key(extension: Extension) -> None:
    s3 = extension.module("services.s3")
    resolve = s3._resolve_sse_write_headers
    key = "x-amz-server-side-encryption-aws-kms-key-id"

    def with_managed_key(headers: dict[str, str], bucket: str) -> Any:
        if headers.get("x-amz-server-side-encryption") == "aws:kms" and not headers.get(key):
            headers = headers | {key: MANAGED_KEY}
        return resolve(headers, bucket)

    s3._resolve_sse_write_headers = with_managed_key
