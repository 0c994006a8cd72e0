"""The function that closes and empties a bucket before it is deleted with its stack."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pm_core.cdk.handlers import bucket_emptying
from pm_core.cdk.handlers.bucket_emptying import CLOSED, NotEmptyError, close, empty
from pm_core.custom_resources import Request, goes

PAGE = 2
STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/data/1"
TLS_ONLY = {"Sid": "Tls", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}


class Bucket:
    """S3's answers for one versioned bucket, in pages of two; ``late`` are put by others after the first sweep."""

    def __init__(
        self,
        *versions: str,
        markers: tuple[str, ...] = (),
        late: tuple[str, ...] = (),
        locked: str = "",
        exists: bool = True,
        statements: list[dict[str, Any]] | None = None,
    ) -> None:
        self.versions = list(versions)
        self.markers = list(markers)
        self.statements = statements
        self._late = list(late)
        self._locked = locked
        self._exists = exists

    def get_bucket_policy(self, *, Bucket: str) -> dict[str, Any]:  # noqa: N803 - boto3's spelling
        if not self._exists:
            raise ClientError({"Error": {"Code": "NoSuchBucket", "Message": Bucket}}, "GetBucketPolicy")
        if self.statements is None:
            raise ClientError({"Error": {"Code": "NoSuchBucketPolicy", "Message": Bucket}}, "GetBucketPolicy")
        return {"Policy": json.dumps({"Version": "2012-10-17", "Statement": self.statements})}

    def put_bucket_policy(self, *, Bucket: str, Policy: str) -> None:  # noqa: N803 - as above
        assert Bucket == "logs"
        self.statements = json.loads(Policy)["Statement"]

    def list_object_versions(self, *, Bucket: str, MaxKeys: int) -> dict[str, Any]:  # noqa: N803 - as above
        assert (Bucket, MaxKeys) == ("logs", 1)
        self.versions += self._late
        self._late = []
        return {"Versions": self.versions[:1], "DeleteMarkers": self.markers[:1]}

    def get_paginator(self, name: str) -> "Bucket":
        assert name == "list_object_versions"
        return self

    def paginate(self, *, Bucket: str) -> Iterator[dict[str, Any]]:  # noqa: N803 - as above
        assert self.statements is not None, f"{Bucket} is closed first"
        listed = [*(("Versions", key) for key in self.versions), *(("DeleteMarkers", key) for key in self.markers)]
        for start in range(0, len(listed), PAGE) or (0,):
            page: dict[str, Any] = {}
            for kind, key in listed[start : start + PAGE]:
                page.setdefault(kind, []).append({"Key": key, "VersionId": "v1", "Size": 1})
            yield page

    def delete_objects(self, *, Bucket: str, Delete: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 - as above
        assert Bucket == "logs"
        keys = [one["Key"] for one in Delete["Objects"]]
        self.versions = [key for key in self.versions if key not in keys or key == self._locked]
        self.markers = [key for key in self.markers if key not in keys]
        return {"Errors": [{"Key": key, "Code": "AccessDenied"} for key in keys if key == self._locked]}


class Stacks:
    """CloudFormation's answer for one stack."""

    def __init__(self, status: str) -> None:
        self._status = status

    def describe_stacks(self, *, StackName: str) -> dict[str, Any]:  # noqa: N803 - boto3's spelling
        assert StackName == STACK
        return {"Stacks": [{"StackStatus": self._status}]}


def emptied(bucket: Bucket, *, seconds: float = 10) -> int:
    return empty(bucket, "logs", seconds=seconds, pause_seconds=0)


def test_every_version_and_delete_marker_goes() -> None:
    bucket = Bucket("a", "b", "c", markers=("d", "e"))
    assert emptied(bucket) == 5
    assert bucket.versions == bucket.markers == []


def test_what_comes_while_the_bucket_is_emptied_goes_too() -> None:
    bucket = Bucket("a", late=("access-log", "replica", "replica 2"))
    assert emptied(bucket) == 4
    assert bucket.versions == []


def test_an_empty_bucket_and_a_bucket_that_is_gone_are_fine() -> None:
    assert emptied(Bucket()) == 0
    assert emptied(Bucket(exists=False)) == 0


def test_a_closed_bucket_takes_neither_objects_nor_replicas_and_keeps_its_other_rules() -> None:
    bucket = Bucket(statements=[TLS_ONLY])
    close(bucket, "logs")
    close(bucket, "logs")
    assert bucket.statements is not None
    kept, refusal = bucket.statements
    assert kept == TLS_ONLY
    assert (refusal["Sid"], refusal["Effect"], refusal["Principal"]) == (CLOSED, "Deny", "*")
    assert {"s3:PutObject", "s3:ReplicateObject"} <= set(refusal["Action"])
    assert refusal["Resource"] == "arn:aws:s3:::logs/*"


def test_an_object_that_stays_is_named() -> None:
    with pytest.raises(NotEmptyError, match="AccessDenied b"):
        emptied(Bucket("a", "b", locked="b"))


@pytest.mark.parametrize("code", ["InternalError", "SlowDown", "ServiceUnavailable"])
def test_an_object_that_s3_could_not_delete_just_now_goes_with_the_next_sweep(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket("a", "b", "c")
    delete = bucket.delete_objects

    def fail_once(**request: Any) -> dict[str, Any]:
        monkeypatch.setattr(bucket, "delete_objects", delete)
        request["Delete"]["Objects"] = [one for one in request["Delete"]["Objects"] if one["Key"] != "b"]
        return {"Errors": [*delete(**request)["Errors"], {"Key": "b", "Code": code}]}

    monkeypatch.setattr(bucket, "delete_objects", fail_once)
    assert emptied(bucket) == 3
    assert bucket.versions == []


def test_too_many_objects_for_the_time_say_to_go_on() -> None:
    with pytest.raises(NotEmptyError, match="2 objects went just now; delete the stack again"):
        emptied(Bucket("a", "b", "c"), seconds=-1)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("DELETE_IN_PROGRESS", True),
        ("ROLLBACK_IN_PROGRESS", True),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", False),
        ("UPDATE_ROLLBACK_IN_PROGRESS", False),
        ("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", False),
    ],
)
def test_a_stack_that_only_changes_does_not_go(status: str, expected: bool) -> None:
    assert goes(Stacks(status), STACK) is expected


@pytest.mark.parametrize(
    ("request_type", "status", "left"),
    [
        ("Create", "CREATE_IN_PROGRESS", ["a"]),
        ("Update", "UPDATE_IN_PROGRESS", ["a"]),
        ("Delete", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", ["a"]),
        ("Delete", "DELETE_IN_PROGRESS", []),
    ],
)
def test_objects_go_with_their_stack_only(
    request_type: str, status: str, left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket("a")
    clients = {"s3": bucket, "cloudformation": Stacks(status)}
    monkeypatch.setattr(bucket_emptying.boto3, "client", lambda name, **_: clients[name])
    monkeypatch.setattr(bucket_emptying.time, "sleep", lambda _: None)
    outcome = bucket_emptying.work(
        Request(kind=request_type, properties={"BucketName": "logs"}, stack_id=STACK, seconds=10)
    )
    assert bucket.versions == left
    assert outcome.physical_id == "emptied:logs"
