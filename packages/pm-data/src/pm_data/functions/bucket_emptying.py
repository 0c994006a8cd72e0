"""The function behind EmptiedBucket: removes every version of every object before the bucket is deleted."""

import time
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from .answer import LOG, Outcome, answers

_AWS = Config(connect_timeout=5, read_timeout=60, retries={"max_attempts": 8, "mode": "adaptive"})


class NotEmptyError(RuntimeError):
    """The bucket still holds objects; deleting the stack again goes on where this ended."""


def empty(client: Any, bucket: str, *, seconds: float) -> int:
    """Delete every object version and delete marker; how many. A bucket that is gone has none.

    Raises:
        NotEmptyError: S3 refused to delete an object, or ``seconds`` were not enough.
    """
    deadline = time.monotonic() + seconds
    deleted = 0
    try:
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
            versions = [
                {"Key": version["Key"], "VersionId": version["VersionId"]}
                for version in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
            ]
            if not versions:
                continue
            answer = client.delete_objects(Bucket=bucket, Delete={"Objects": versions, "Quiet": True})
            if errors := answer.get("Errors"):
                first = errors[0]
                raise NotEmptyError(
                    f"{len(errors)} objects of {bucket} stay, the first: {first['Code']} {first['Key']}"
                )
            deleted += len(versions)
            if time.monotonic() > deadline:
                raise NotEmptyError(f"{bucket} is not empty after {deleted} objects in {seconds:.0f} s: delete again")
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise
    return deleted


def work(request_type: str, properties: Mapping[str, Any], seconds: float) -> Outcome:
    """One request of CloudFormation. Property: BucketName. Only a Delete does something."""
    bucket = properties["BucketName"]
    if request_type == "Delete":
        count = empty(boto3.client("s3", config=_AWS), bucket, seconds=seconds)
        LOG.info("removed %d objects from %s", count, bucket)
    return Outcome(physical_id=f"emptied:{bucket}")


handle = answers(work)
