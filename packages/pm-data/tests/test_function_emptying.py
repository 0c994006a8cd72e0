"""The function that empties a bucket before it is deleted."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pm_data.functions import bucket_emptying
from pm_data.functions.bucket_emptying import NotEmptyError, empty

PAGE = 2


class Bucket:
    """S3's answers for one versioned bucket, in pages of two."""

    def __init__(self, *versions: str, markers: tuple[str, ...] = (), locked: str = "", exists: bool = True) -> None:
        self.versions = list(versions)
        self.markers = list(markers)
        self._locked = locked
        self._exists = exists

    def get_paginator(self, name: str) -> "Bucket":
        assert name == "list_object_versions"
        return self

    def paginate(self, *, Bucket: str) -> Iterator[dict[str, Any]]:  # noqa: N803 - boto3's spelling
        if not self._exists:
            raise ClientError({"Error": {"Code": "NoSuchBucket", "Message": Bucket}}, "ListObjectVersions")
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


def test_every_version_and_delete_marker_goes() -> None:
    bucket = Bucket("a", "b", "c", markers=("d", "e"))
    assert empty(bucket, "logs", seconds=10) == 5
    assert bucket.versions == bucket.markers == []


def test_an_empty_bucket_and_a_bucket_that_is_gone_are_fine() -> None:
    assert empty(Bucket(), "logs", seconds=10) == 0
    assert empty(Bucket(exists=False), "logs", seconds=10) == 0


def test_an_object_that_stays_is_named() -> None:
    with pytest.raises(NotEmptyError, match="AccessDenied b"):
        empty(Bucket("a", "b", locked="b"), "logs", seconds=10)


def test_too_many_objects_for_the_time_say_to_go_on() -> None:
    with pytest.raises(NotEmptyError, match="not empty after 2 objects"):
        empty(Bucket("a", "b", "c"), "logs", seconds=-1)


@pytest.mark.parametrize(("request_type", "left"), [("Create", ["a"]), ("Update", ["a"]), ("Delete", [])])
def test_only_a_delete_empties(request_type: str, left: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = Bucket("a")
    monkeypatch.setattr(bucket_emptying.boto3, "client", lambda *_, **__: bucket)
    outcome = bucket_emptying.work(request_type, {"BucketName": "logs"}, 10)
    assert bucket.versions == left
    assert outcome.physical_id == "emptied:logs"
