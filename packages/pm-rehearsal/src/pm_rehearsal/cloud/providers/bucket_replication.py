"""S3 replication: configurations are checked as S3 checks them, and objects are copied some time after they were put.

MiniStack copies at once, to one destination, whatever encrypts the object; this replaces it. A replica keeps its
version id and is not copied on, as on AWS.
"""

import copy
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pm_rehearsal.cloud.extension import Extension
from pm_rehearsal.cloud.providers.bucket_policies import BucketPolicies

DELAY_SECONDS = 0.5
_ALGORITHM = "x-amz-server-side-encryption"
_KEY = "x-amz-server-side-encryption-aws-kms-key-id"
_FILTERED = "must be specified for this version of Cross Region Replication configuration schema."

Rule = Mapping[str, Any]


def install(extension: Extension) -> None:
    """Replace MiniStack's replication and add to its checks of a configuration."""
    s3 = extension.module("services.s3")
    replication = _Replication(extension)
    extension.on_reset(replication.forget)
    s3._maybe_replicate = replication.written
    s3._maybe_replicate_delete_marker = replication.marked
    put_configuration = s3._put_bucket_replication

    def put(bucket: str, body: bytes) -> Any:
        before = s3._bucket_replication.get(bucket)
        answer = put_configuration(bucket, body)
        if answer[0] != 200:
            return answer
        problem = next(replication.problems(bucket, s3._bucket_replication[bucket]), None)
        if problem is None:
            return answer
        s3._bucket_replication.pop(bucket, None)
        if before is not None:
            s3._bucket_replication[bucket] = before
        return s3._error("InvalidRequest", problem, 400, f"/{bucket}")

    s3._put_bucket_replication = put


class _Replication:
    def __init__(self, extension: Extension) -> None:
        self._extension = extension
        self._s3 = extension.module("services.s3")
        self._kms = extension.module("services.kms")
        self._policies = BucketPolicies(extension)
        self._pending: dict[tuple[str, str, str], list[int]] = defaultdict(list)  # sizes of objects that wait

    def forget(self) -> None:
        self._pending.clear()

    def problems(self, bucket: str, configuration: Mapping[str, Any]) -> Iterator[str]:
        """What S3 refuses and MiniStack does not."""
        role = configuration["Role"].rpartition("/")[2]
        if role not in self._extension.module("services.iam")._roles:
            yield f"The role {configuration['Role']} does not exist"
        rules = configuration["Rules"]
        for rule in rules:
            destination = rule["Destination"]["Bucket"].rpartition(":")[2]
            if self._s3._bucket_owner_account(destination) is None:
                yield "Destination bucket must exist."
            if destination == bucket:
                yield "Destination bucket cannot be the same as the source bucket."
            if "Filter" in rule:
                for name in ("Priority", "DeleteMarkerReplication"):
                    if name not in rule:
                        yield f"{name} {_FILTERED}"
            elif len(rules) > 1:
                yield f"Filter {_FILTERED}"
        for name, what in (("ID", "Rule Id"), ("Priority", "Rule priority")):
            values = [rule[name] for rule in rules if name in rule]
            if len(set(values)) < len(values):
                yield f"{what} must be unique. Found the same for more than one rule"

    def written(
        self, bucket: str, key: str, obj: dict[str, Any], data: bytes, tags: Mapping[str, str] | None = None
    ) -> None:
        """An object was put; called before its version is recorded."""
        rules = self._matching(bucket, key, tags or {}, obj)
        if not rules:
            return
        obj["replication_status"] = "PENDING"
        outcomes: list[bool] = []
        written_at = time.time()
        for rule in rules:
            self._report(bucket, rule, waiting=obj["size"])
            self._later(self._copy, bucket, key, obj, data, dict(tags or {}), rule, outcomes, len(rules), written_at)

    def marked(self, bucket: str, key: str) -> None:
        """An object was deleted without a version id, which left a delete marker."""
        for rule in self._matching(bucket, key, {}, None):
            if rule.get("DeleteMarkerReplication", {}).get("Status") == "Enabled":
                self._later(self._copy_marker, bucket, key, rule)

    def _matching(self, bucket: str, key: str, tags: Mapping[str, str], obj: Mapping[str, Any] | None) -> list[Rule]:
        """The rules that apply: of those with one destination the one with the highest priority."""
        configuration = self._s3._bucket_replication.get(bucket)
        if not configuration or self._s3._bucket_versioning.get(bucket) != "Enabled":
            return []
        by_kms = obj is not None and obj.get("preserved_headers", {}).get(_ALGORITHM) == "aws:kms"
        best: dict[str, Rule] = {}
        for rule in sorted(configuration["Rules"], key=lambda rule: int(rule.get("Priority", 0))):
            wanted = self._s3._replication_rule_tags(rule)
            if (
                rule["Status"] == "Enabled"
                and key.startswith(self._s3._replication_rule_prefix(rule))
                and all(tags.get(name) == value for name, value in wanted.items())
                and (not by_kms or _copies_kms(rule))
            ):
                best[rule["Destination"]["Bucket"]] = rule
        return list(best.values())

    def _later(self, function: Callable[..., None], *arguments: Any) -> None:
        """On the server's loop, where all of MiniStack's S3 runs, and in the caller's account and region."""
        loop = self._extension.loop
        assert loop is not None, "objects are put only while the server's loop runs"  # noqa: S101 - invariant
        loop.call_soon_threadsafe(loop.call_later, DELAY_SECONDS, function, *arguments)

    def _copy(
        self,
        bucket: str,
        key: str,
        obj: dict[str, Any],
        data: bytes,
        tags: Mapping[str, str],
        rule: Rule,
        outcomes: list[bool],
        wanted: int,
        written_at: float,
    ) -> None:
        configuration = self._s3._bucket_replication.get(bucket)
        placed = configuration is not None and self._place(bucket, key, obj, data, tags, rule)
        outcomes.append(placed)
        self._report(bucket, rule, done=obj["size"], latency_seconds=time.time() - written_at, failed=not placed)
        if len(outcomes) < wanted:
            return
        status = "COMPLETED" if all(outcomes) else "FAILED"
        obj["replication_status"] = status
        for version in self._s3._object_versions.get((bucket, key), []):
            if version["version_id"] == obj.get("version_id"):
                version["replication_status"] = status

    def _place(
        self, bucket: str, key: str, obj: Mapping[str, Any], data: bytes, tags: Mapping[str, str], rule: Rule
    ) -> bool:
        """Write the replica; whether that was possible."""
        role = self._s3._bucket_replication[bucket]["Role"]
        destination = self._destination(bucket, key, rule, role, "s3:ReplicateObject")
        if destination is None:
            return False
        replica = copy.deepcopy(dict(obj)) | {"replication_status": "REPLICA"}
        replica.pop("version_id", None)
        if rule["Destination"].get("StorageClass"):
            replica["storage_class"] = rule["Destination"]["StorageClass"]
        if _copies_kms(rule) and replica["preserved_headers"].get(_ALGORITHM) == "aws:kms":
            key_arn = self._usable_key(rule["Destination"]["EncryptionConfiguration"]["ReplicaKmsKeyID"])
            if key_arn is None:
                return False
            replica["preserved_headers"][_KEY] = key_arn
        objects = self._s3._buckets[destination]["objects"]
        before = objects.get(key)
        objects[key] = replica
        self._s3._record_object_version(destination, key, before, replica, data)
        replica["version_id"] = self._s3._object_versions[(destination, key)][-1]["version_id"] = obj["version_id"]
        if tags:
            self._s3._object_tags[(destination, key, obj["version_id"])] = dict(tags)
        return True

    def _copy_marker(self, bucket: str, key: str, rule: Rule) -> None:
        configuration = self._s3._bucket_replication.get(bucket)
        if configuration is None:
            return
        destination = self._destination(bucket, key, rule, configuration["Role"], "s3:ReplicateDelete")
        if destination is not None:
            objects = self._s3._buckets[destination]["objects"]
            self._s3._record_delete_marker(destination, key, objects.get(key))
            objects.pop(key, None)

    def _destination(self, bucket: str, key: str, rule: Rule, role: str, action: str) -> str | None:
        """The destination's name when it is there, versioned, and its policy does not refuse the role."""
        found = self._s3._replication_destination(bucket, key, rule, role)
        if found is None or self._policies.decision(found[0], key, action=action, principal=role) == "Deny":
            return None
        return str(found[0])

    def _usable_key(self, arn: str) -> str | None:
        """ARN of the enabled key that a key or alias ARN of any region names."""
        _, _, _, region, account, resource = arn.split(":", 5)
        kind, _, name = resource.partition("/")
        key_id = name if kind == "key" else self._kms._aliases.get_scoped(account, region, arn)
        record = self._kms._keys.get_scoped(account, region, key_id)
        return str(record["Arn"]) if record and record["KeyState"] == "Enabled" else None

    def _report(
        self,
        bucket: str,
        rule: Rule,
        *,
        waiting: int | None = None,
        done: int | None = None,
        latency_seconds: float = 0,
        failed: bool = False,
    ) -> None:
        """Metrics of a rule that has them on, each in its region.

        Source: S3 user guide, "Using S3 Replication metrics".
        """
        destination = rule["Destination"]["Bucket"].rpartition(":")[2]
        pending = self._pending[(bucket, destination, rule["ID"])]
        if waiting is not None:
            pending.append(waiting)
        if done in pending:
            pending.remove(done)
        if rule["Destination"].get("Metrics", {}).get("Status") != "Enabled":
            return
        dimensions = {"SourceBucket": bucket, "DestinationBucket": destination, "RuleId": rule["ID"]}
        self._store(bucket, dimensions, "OperationsFailedReplication", "Count", float(failed))
        self._store(destination, dimensions, "ReplicationLatency", "Seconds", latency_seconds)
        self._store(destination, dimensions, "OperationsPendingReplication", "Count", float(len(pending)))
        self._store(destination, dimensions, "BytesPendingReplication", "Bytes", float(sum(pending)))

    def _store(self, bucket: str, dimensions: Mapping[str, str], name: str, unit: str, value: float) -> None:
        """In the region of ``bucket``, and in process: PutMetricData refuses the AWS namespaces, as on AWS."""
        account, region = self._extension.scope()
        there = self._s3._buckets.get(bucket, {}).get("region") or region
        with self._extension.module("core.responses").request_scope(account, there):
            store = self._extension.module("services.cloudwatch")._store_datum
            store("AWS/S3", name, dict(dimensions), time.time(), unit, value, None, None, None)


def _copies_kms(rule: Rule) -> bool:
    criteria: Mapping[str, Any] = rule.get("SourceSelectionCriteria", {}).get("SseKmsEncryptedObjects", {})
    return criteria.get("Status") == "Enabled"
