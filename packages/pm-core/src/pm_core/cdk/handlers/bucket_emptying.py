"""The function behind EmptiedBucket: closes a bucket and removes every version of every object, when its stack goes.

Closed first, because others write to a bucket that is being deleted: S3 delivers access logs and replicas hours late.
"""

import json
import time
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from pm_core.custom_resources import LOG, Outcome, Request, answers, goes

_AWS = Config(connect_timeout=5, read_timeout=60, retries={"max_attempts": 8, "mode": "adaptive"})
# For how long S3 may still admit what a new policy forbids.
PAUSE_SECONDS = 5.0
CLOSED = "ClosedForDeletion"
# Of single objects, in an answer that is 200: boto3 does not try these again, the next sweep does.
_PASSING = {"InternalError", "SlowDown", "ServiceUnavailable"}


class NotEmptyError(RuntimeError):
    """The bucket still holds objects; deleting the stack again goes on where this ended."""


def close(client: Any, bucket: str) -> None:
    """Forbid everybody, S3's own deliveries included, to put anything into the bucket; its other rules stay."""
    try:
        policy = json.loads(client.get_bucket_policy(Bucket=bucket)["Policy"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucketPolicy":
            raise
        policy = {"Version": "2012-10-17", "Statement": []}
    refusal = {
        "Sid": CLOSED,
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["s3:PutObject", "s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"],
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    others = [statement for statement in policy["Statement"] if statement.get("Sid") != CLOSED]
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy | {"Statement": [*others, refusal]}))


def empty(client: Any, bucket: str, *, seconds: float, pause_seconds: float = PAUSE_SECONDS) -> int:
    """Delete every object version and delete marker until none comes any more; how many. A bucket that is gone: none.

    Raises:
        NotEmptyError: S3 refused to delete an object, or ``seconds`` were not enough.
    """
    deadline = time.monotonic() + seconds
    deleted = 0
    try:
        close(client, bucket)
        while True:
            deleted += _sweep(client, bucket, deadline=deadline)
            time.sleep(pause_seconds)
            if not _holds_any(client, bucket):
                break
            if time.monotonic() > deadline:
                raise NotEmptyError(f"{bucket} is not empty after {deleted} objects in {seconds:.0f} s: delete again")
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise
    return deleted


def _holds_any(client: Any, bucket: str) -> bool:
    page = client.list_object_versions(Bucket=bucket, MaxKeys=1)
    return bool(page.get("Versions") or page.get("DeleteMarkers"))


def _sweep(client: Any, bucket: str, *, deadline: float) -> int:
    deleted = 0
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        versions = [
            {"Key": version["Key"], "VersionId": version["VersionId"]}
            for version in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
        ]
        if not versions:
            continue
        answer = client.delete_objects(Bucket=bucket, Delete={"Objects": versions, "Quiet": True})
        errors = answer.get("Errors", ())
        if lasting := [error for error in errors if error["Code"] not in _PASSING]:
            first = lasting[0]
            raise NotEmptyError(f"{len(lasting)} objects of {bucket} stay, the first: {first['Code']} {first['Key']}")
        deleted += len(versions) - len(errors)
        if time.monotonic() > deadline:
            raise NotEmptyError(f"{bucket} is not empty: {deleted} objects went just now; delete the stack again")
    return deleted


def work(request: Request) -> Outcome:
    """One request of CloudFormation. Properties: BucketName. Only a Delete with the stack does something."""
    bucket = request.properties["BucketName"]
    if request.kind == "Delete":
        if goes(boto3.client("cloudformation", config=_AWS), request.stack_id):
            count = empty(boto3.client("s3", config=_AWS), bucket, seconds=request.seconds)
            LOG.info("removed %d objects from %s", count, bucket)
        else:
            LOG.warning("%s keeps its objects: its stack is not being deleted", bucket)
    return Outcome(physical_id=f"emptied:{bucket}")


handle = answers(work)
