"""S3 server access logs: delivered in batches some time after the requests, to a bucket that is being deleted, too."""

import secrets
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from pm_rehearsal.cloud.extension import Extension
from pm_rehearsal.cloud.providers.bucket_policies import BucketPolicies

DELIVERY_SECONDS = 2.0
_SERVICE = "logging.s3.amazonaws.com"
_NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


def install(extension: Extension) -> None:
    """Look at every request that S3 answers."""
    s3 = extension.module("services.s3")
    logs = _AccessLogs(extension)
    extension.on_reset(logs.forget)
    dispatch = s3._dispatch

    def logged(
        method: str, bucket: str, key: str, headers: dict[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Any:
        answer = dispatch(method, bucket, key, headers, body, query)
        logs.requested(bucket, key, method=method, status=int(answer[0]))
        return answer

    s3._dispatch = logged


class _AccessLogs:
    def __init__(self, extension: Extension) -> None:
        self._extension = extension
        self._s3 = extension.module("services.s3")
        self._policies = BucketPolicies(extension)
        self._waiting: dict[str, list[str]] = defaultdict(list)  # lines by bucket

    def forget(self) -> None:
        self._waiting.clear()

    def requested(self, bucket: str, key: str, *, method: str, status: int) -> None:
        """Note one request to a bucket that has logging on; the first since a delivery sets off the next one."""
        target = self._target(bucket)
        if target is None:
            return
        account, _ = self._extension.scope()
        moment = time.strftime("[%d/%b/%Y:%H:%M:%S +0000]", time.gmtime())
        what = f"REST.{method}.{'OBJECT' if key else 'BUCKET'}"
        waiting = self._waiting[bucket]
        waiting.append(
            f"{account} {bucket} {moment} 127.0.0.1 {account} {secrets.token_hex(8)} {what} {key or '-'} {status}"
        )
        if len(waiting) == 1:
            loop = self._extension.loop
            assert loop is not None, "requests arrive only while the server's loop runs"  # noqa: S101 - invariant
            loop.call_soon_threadsafe(loop.call_later, DELIVERY_SECONDS, self._deliver, bucket, *target)

    def _deliver(self, bucket: str, target: str, prefix: str) -> None:
        """Put one object with the lines, if the target is still there and its policy lets S3 deliver from the bucket.

        What cannot be delivered is dropped, as S3 does.
        """
        lines = self._waiting.pop(bucket, [])
        key = f"{prefix}{time.strftime('%Y-%m-%d-%H-%M-%S', time.gmtime())}-{secrets.token_hex(8).upper()}"
        account, _ = self._extension.scope()
        decision = self._policies.decision(
            target,
            key,
            action="s3:PutObject",
            principal=f"arn:aws:iam::{account}:root",
            service=_SERVICE,
            facts={"aws:SourceArn": f"arn:aws:s3:::{bucket}", "aws:SourceAccount": account},
        )
        if decision == "Allow":
            self._s3._put_object(target, key, "".join(f"{line}\n" for line in lines).encode(), {})

    def _target(self, bucket: str) -> tuple[str, str] | None:
        configuration = self._s3._bucket_logging_config.get(bucket)
        if not configuration:
            return None
        enabled = ElementTree.fromstring(configuration).find(f"{_NAMESPACE}LoggingEnabled")  # noqa: S314 - a client of ours wrote it
        if enabled is None:
            return None
        return enabled.findtext(f"{_NAMESPACE}TargetBucket", ""), enabled.findtext(f"{_NAMESPACE}TargetPrefix", "")
