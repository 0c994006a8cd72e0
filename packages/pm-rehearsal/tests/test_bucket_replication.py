"""S3 replication, access logs and bucket policies of the embedded AWS, as a client sees them."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pm_rehearsal.cloud.launch import EmbeddedCloud

DEADLINE_SECONDS = 15
LOGS, AUDIT, TARGET = "pm-logs", "pm-audit", "pm-target-logs"
ROLE = "arn:aws:iam::123456789012:role/replicate"


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedCloud]:
    with EmbeddedCloud() as cloud:
        yield cloud


@pytest.fixture
def cloud(server: EmbeddedCloud) -> EmbeddedCloud:
    """Three versioned buckets, the audit one in another region, with a key each, and a role."""
    server.reset()
    server.client("iam").create_role(RoleName="replicate", AssumeRolePolicyDocument="{}")
    for name, region in ((LOGS, "us-east-1"), (TARGET, "us-east-1"), (AUDIT, "us-west-2")):
        s3 = server.client("s3", region=region)
        location = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=name, **location)
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        key = server.client("kms", region=region).create_key()["KeyMetadata"]["KeyId"]
        server.client("kms", region=region).create_alias(AliasName=f"alias/{name}", TargetKeyId=key)
    return server


def alias(name: str, region: str) -> str:
    return f"arn:aws:kms:{region}:123456789012:alias/{name}"


def rule(name: str, bucket: str, priority: int, region: str, **changed: Any) -> dict[str, Any]:
    return {
        "ID": name,
        "Status": "Enabled",
        "Priority": priority,
        "Filter": {"Prefix": ""},
        "DeleteMarkerReplication": {"Status": "Disabled"},
        "SourceSelectionCriteria": {"SseKmsEncryptedObjects": {"Status": "Enabled"}},
        "Destination": {
            "Bucket": f"arn:aws:s3:::{bucket}",
            "EncryptionConfiguration": {"ReplicaKmsKeyID": alias(bucket, region)},
            "Metrics": {"Status": "Enabled"},
        },
        **changed,
    }


def both() -> list[dict[str, Any]]:
    return [rule("audit", AUDIT, 1, "us-west-2"), rule("migration", TARGET, 2, "us-east-1")]


def replicate(cloud: EmbeddedCloud, rules: list[dict[str, Any]], role: str = ROLE) -> None:
    cloud.client("s3").put_bucket_replication(Bucket=LOGS, ReplicationConfiguration={"Role": role, "Rules": rules})


def put(cloud: EmbeddedCloud, key: str, bucket: str = LOGS) -> str:
    answer = cloud.client("s3").put_object(
        Bucket=bucket,
        Key=key,
        Body=b"line",
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId=alias(bucket, "us-east-1"),
    )
    return str(answer["VersionId"])


def head(cloud: EmbeddedCloud, bucket: str, key: str, region: str = "us-east-1") -> Mapping[str, Any]:
    answer: Mapping[str, Any] = cloud.client("s3", region=region).head_object(Bucket=bucket, Key=key)
    return answer


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def test_an_object_is_copied_to_every_destination_some_time_after_it_was_put(cloud: EmbeddedCloud) -> None:
    replicate(cloud, both())
    version = put(cloud, "2026/a")
    assert head(cloud, LOGS, "2026/a")["ReplicationStatus"] == "PENDING"
    eventually(lambda: head(cloud, LOGS, "2026/a")["ReplicationStatus"] == "COMPLETED")
    for bucket, region in ((AUDIT, "us-west-2"), (TARGET, "us-east-1")):
        copied = head(cloud, bucket, "2026/a", region)
        assert (copied["ReplicationStatus"], copied["VersionId"]) == ("REPLICA", version)
        key = cloud.client("kms", region=region).describe_key(KeyId=f"alias/{bucket}")["KeyMetadata"]["Arn"]
        assert copied["SSEKMSKeyId"] == key, "encrypted with the key of its own region"
        body = cloud.client("s3", region=region).get_object(Bucket=bucket, Key="2026/a")["Body"].read()
        assert body == b"line"


def test_deletions_are_not_copied_unless_the_rule_says_so(cloud: EmbeddedCloud) -> None:
    keeps, follows = both()
    replicate(cloud, [keeps, follows | {"DeleteMarkerReplication": {"Status": "Enabled"}}])
    put(cloud, "a")
    eventually(lambda: head(cloud, LOGS, "a")["ReplicationStatus"] == "COMPLETED")
    cloud.client("s3").delete_object(Bucket=LOGS, Key="a")

    def gone() -> bool:
        return "DeleteMarkers" in cloud.client("s3").list_object_versions(Bucket=TARGET)

    eventually(gone)
    assert "DeleteMarkers" not in cloud.client("s3", region="us-west-2").list_object_versions(Bucket=AUDIT)


def test_a_replica_is_not_copied_on(cloud: EmbeddedCloud) -> None:
    replicate(cloud, [rule("migration", TARGET, 1, "us-east-1")])
    cloud.client("s3").put_bucket_replication(
        Bucket=TARGET, ReplicationConfiguration={"Role": ROLE, "Rules": [rule("audit", AUDIT, 1, "us-west-2")]}
    )
    put(cloud, "copied")
    eventually(lambda: head(cloud, LOGS, "copied")["ReplicationStatus"] == "COMPLETED")
    put(cloud, "own", TARGET)
    eventually(lambda: head(cloud, TARGET, "own")["ReplicationStatus"] == "COMPLETED")
    held = cloud.client("s3", region="us-west-2").list_objects_v2(Bucket=AUDIT)["Contents"]
    assert [item["Key"] for item in held] == ["own"]


def test_objects_encrypted_by_kms_need_a_rule_that_selects_them(cloud: EmbeddedCloud) -> None:
    blind = rule("audit", AUDIT, 1, "us-west-2")
    del blind["SourceSelectionCriteria"], blind["Destination"]["EncryptionConfiguration"]
    replicate(cloud, [blind])
    put(cloud, "a")
    assert "ReplicationStatus" not in head(cloud, LOGS, "a")


def test_a_destination_that_refuses_or_has_lost_its_key_fails_the_copy(cloud: EmbeddedCloud) -> None:
    replicate(cloud, [rule("audit", AUDIT, 1, "us-west-2")])
    refusal = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:ReplicateObject",
        "Resource": f"arn:aws:s3:::{AUDIT}/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [refusal]})
    cloud.client("s3", region="us-west-2").put_bucket_policy(Bucket=AUDIT, Policy=policy)
    put(cloud, "refused")
    eventually(lambda: head(cloud, LOGS, "refused")["ReplicationStatus"] == "FAILED")
    cloud.client("s3", region="us-west-2").delete_bucket_policy(Bucket=AUDIT)
    kms = cloud.client("kms", region="us-west-2")
    kms.disable_key(KeyId=kms.describe_key(KeyId=f"alias/{AUDIT}")["KeyMetadata"]["KeyId"])
    put(cloud, "no key")
    eventually(lambda: head(cloud, LOGS, "no key")["ReplicationStatus"] == "FAILED")


def reported(cloud: EmbeddedCloud, name: str, *, region: str) -> list[float]:
    """The highest value of each minute of a metric of the rule ``audit``."""
    points = cloud.client("cloudwatch", region=region).get_metric_statistics(
        Namespace="AWS/S3",
        MetricName=name,
        Dimensions=[
            {"Name": "SourceBucket", "Value": LOGS},
            {"Name": "DestinationBucket", "Value": AUDIT},
            {"Name": "RuleId", "Value": "audit"},
        ],
        StartTime=time.time() - 300,
        EndTime=time.time() + 60,
        Period=60,
        Statistics=["Maximum"],
    )["Datapoints"]
    return [point["Maximum"] for point in points]


def test_replication_reports_each_metric_in_its_region(cloud: EmbeddedCloud) -> None:
    replicate(cloud, [rule("audit", AUDIT, 1, "us-west-2")])
    put(cloud, "a")
    eventually(lambda: head(cloud, LOGS, "a")["ReplicationStatus"] == "COMPLETED")
    for name, highest in (
        ("OperationsPendingReplication", 1),
        ("BytesPendingReplication", len(b"line")),
        ("ReplicationLatency", pytest.approx(0.5, abs=2)),
    ):
        assert max(reported(cloud, name, region="us-west-2")) == highest, name
        assert reported(cloud, name, region="us-east-1") == [], name
    assert max(reported(cloud, "OperationsFailedReplication", region="us-east-1")) == 0
    cloud.client("s3", region="us-west-2").put_bucket_versioning(
        Bucket=AUDIT, VersioningConfiguration={"Status": "Suspended"}
    )
    put(cloud, "b")
    eventually(lambda: head(cloud, LOGS, "b")["ReplicationStatus"] == "FAILED")
    assert max(reported(cloud, "OperationsFailedReplication", region="us-east-1")) == 1
    assert reported(cloud, "OperationsFailedReplication", region="us-west-2") == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"bucket": "pm-nothing"}, "Destination bucket must exist"),
        ({"bucket": "pm-unversioned"}, "must have versioning enabled"),
        ({"bucket": LOGS}, "cannot be the same as the source"),
        ({"role": "arn:aws:iam::123456789012:role/nobody"}, "role/nobody does not exist"),
        ({"drop": "Priority"}, "Priority must be specified"),
        ({"drop": "DeleteMarkerReplication"}, "DeleteMarkerReplication must be specified"),
        ({"second": {"ID": "audit", "Priority": 2}}, "Rule Id must be unique"),
        ({"second": {"ID": "other", "Priority": 1}}, "priority must be unique"),
    ],
)
def test_a_configuration_that_s3_refuses_is_refused(
    cloud: EmbeddedCloud, changed: dict[str, Any], message: str
) -> None:
    cloud.client("s3").create_bucket(Bucket="pm-unversioned")
    name = changed.get("bucket", AUDIT)
    first = rule("audit", name, 1, "us-east-1" if "bucket" in changed else "us-west-2")
    first.pop(changed.get("drop", ""), None)
    rules = [first] + ([rule("x", TARGET, 2, "us-east-1") | changed["second"]] if "second" in changed else [])
    with pytest.raises(ClientError, match=message):
        replicate(cloud, rules, changed.get("role", ROLE))
    with pytest.raises(ClientError, match="ReplicationConfigurationNotFoundError"):
        cloud.client("s3").get_bucket_replication(Bucket=LOGS)


def test_a_source_without_versions_cannot_be_replicated(cloud: EmbeddedCloud) -> None:
    cloud.client("s3").create_bucket(Bucket="pm-unversioned")
    with pytest.raises(ClientError, match="Versioning must be 'Enabled' on the bucket"):
        cloud.client("s3").put_bucket_replication(
            Bucket="pm-unversioned",
            ReplicationConfiguration={"Role": ROLE, "Rules": [rule("audit", AUDIT, 1, "us-west-2")]},
        )


def test_a_put_that_the_policy_denies_is_refused(cloud: EmbeddedCloud) -> None:
    refusal = {
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{LOGS}/*",
        "Condition": {"StringNotEquals": {"s3:x-amz-server-side-encryption-aws-kms-key-id": alias(LOGS, "us-east-1")}},
    }
    client = cloud.client("s3")
    client.put_bucket_policy(Bucket=LOGS, Policy=json.dumps({"Version": "2012-10-17", "Statement": [refusal]}))
    with pytest.raises(ClientError, match="AccessDenied"):
        client.put_object(Bucket=LOGS, Key="a", Body=b"x")
    with pytest.raises(ClientError, match="AccessDenied"):
        client.put_object(Bucket=LOGS, Key="a", Body=b"x", ServerSideEncryption="aws:kms")
    put(cloud, "a")


def test_access_logs_come_late_and_only_where_the_policy_lets_s3_deliver(cloud: EmbeddedCloud) -> None:
    client = cloud.client("s3")
    client.create_bucket(Bucket="pm-access")
    client.put_bucket_logging(
        Bucket=LOGS,
        BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": "pm-access", "TargetPrefix": "logs/"}},
    )

    def delivered() -> list[str]:
        return [item["Key"] for item in client.list_objects_v2(Bucket="pm-access").get("Contents", [])]

    put(cloud, "refused")
    time.sleep(3)
    assert delivered() == []
    admission = {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::pm-access/logs/*",
        "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{LOGS}"}},
    }
    client.put_bucket_policy(Bucket="pm-access", Policy=json.dumps({"Statement": [admission]}))
    put(cloud, "noted")
    assert delivered() == []
    eventually(lambda: len(delivered()) == 1)
    text = client.get_object(Bucket="pm-access", Key=delivered()[0])["Body"].read().decode()
    assert "REST.PUT.OBJECT noted 200" in text
