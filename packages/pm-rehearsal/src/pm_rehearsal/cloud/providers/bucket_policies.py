"""What a bucket's policy refuses is refused: MiniStack keeps policies, and looks at them for other accounts only.

Only refusals of new objects are looked at, and for every caller alike: who calls is not authenticated here.
"""

from collections.abc import Mapping
from typing import Any

from pm_rehearsal.cloud.extension import Extension

_ENCRYPTION = ("x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id")


def install(extension: Extension) -> None:
    """Refuse a PutObject that the bucket's policy denies."""
    s3 = extension.module("services.s3")
    policies = BucketPolicies(extension)
    put_object = s3._put_object

    def put(bucket: str, key: str, body: bytes, headers: dict[str, str]) -> Any:
        context = {f"s3:{name}": headers[name] for name in _ENCRYPTION if headers.get(name)}
        account, _ = extension.scope()
        caller = f"arn:aws:iam::{account}:root"
        if policies.decision(bucket, key, action="s3:PutObject", principal=caller, context=context) == "Deny":
            return s3._error("AccessDenied", "Access Denied: the policy of the bucket denies it", 403, f"/{bucket}")
        return put_object(bucket, key, body, headers)

    s3._put_object = put


class BucketPolicies:
    """What the policies of the caller's buckets say; MiniStack's own evaluation of them."""

    def __init__(self, extension: Extension) -> None:
        self._extension = extension
        self._s3 = extension.module("services.s3")
        self._evaluator = extension.module("core.iam_evaluator")

    def decision(
        self,
        bucket: str,
        key: str,
        *,
        action: str,
        principal: str,
        service: str | None = None,
        context: Mapping[str, str] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> str:
        """Allow, Deny or ImplicitDeny.

        Args:
            bucket: Whose policy.
            key: Of the object.
            action: For example ``s3:PutObject``.
            principal: ARN of who acts.
            service: The AWS service that acts, for example ``logging.s3.amazonaws.com``.
            context: Condition keys of S3, in lower case.
            facts: Condition keys of the caller, for example ``aws:SourceArn``.
        """
        account, region = self._extension.scope()
        question = self._evaluator.EvalContext(
            principal_arn=principal,
            principal_type="AssumedRole",
            principal_account=account,
            action=action,
            resource_arn=f"arn:aws:s3:::{bucket}/{key}",
            region=region,
            secure_transport=True,  # the server speaks plain HTTP on the loopback interface only
            service_context={name.lower(): value for name, value in {**(context or {}), **(facts or {})}.items()},
        )
        policy = self._s3._bucket_policies.get(bucket)
        result = self._evaluator.evaluate_resource_policy(policy, question, service=service)
        return str(result.decision)
