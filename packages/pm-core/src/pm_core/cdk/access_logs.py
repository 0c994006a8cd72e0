"""AccessLogBucket: where AWS writes down who used a bucket or a load balancer."""

from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from constructs import Construct

from pm_core.cdk.acknowledgements import acknowledge
from pm_core.cdk.aspects import encrypted_with_sse_s3

_KEPT_DAYS = 365
_OLD_VERSION_DAYS = 7
_UNFINISHED_UPLOAD_DAYS = 7
_ONLY_SSE_S3 = (
    "AWS delivers access logs to buckets with SSE-S3 only (S3 and Elastic Load Balancing user guides, access logs); "
    "they name requesters, keys and paths, never content."
)
_SHORT_LIVED = (
    "Access logs are operational records, delivered at best effort and expired after a year; what an audit needs, the "
    "transaction logs themselves, is kept in two regions."
)


class AccessLogBucket(s3.Bucket):
    """A private bucket for access logs: versioned, TLS only, expired after a year, encrypted with SSE-S3.

    SSE-S3, because AWS delivers to nothing else; the one exception from the rule that a key of ours encrypts.
    Deliveries go on for hours: empty it with :class:`BucketEmptying`, which closes it first.

    Source: Elastic Load Balancing user guide, "Access logs for your Application Load Balancer"; S3 user guide,
    "Enabling Amazon S3 server access logging".
    """

    def __init__(self, scope: Construct, construct_id: str, *, name: str) -> None:
        super().__init__(
            scope,
            construct_id,
            bucket_name=name,
            versioned=True,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            removal_policy=cdk.RemovalPolicy.DESTROY,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="expire",
                    expiration=cdk.Duration.days(_KEPT_DAYS),
                    noncurrent_version_expiration=cdk.Duration.days(_OLD_VERSION_DAYS),
                ),
                unfinished_uploads(),
            ],
        )
        encrypted_with_sse_s3(cast(s3.CfnBucket, self.node.default_child), reason=_ONLY_SSE_S3)
        for rule, reason in (("S3DefaultEncryptionKMS", _ONLY_SSE_S3), ("S3BucketReplicationEnabled", _SHORT_LIVED)):
            acknowledge(self, f"PCI.DSS.321-{rule}", f"NIST.800.53.R5-{rule}", reason=reason)


def unfinished_uploads() -> s3.LifecycleRule:
    """Remove uploads that nobody finished, and delete markers that mark nothing."""
    return s3.LifecycleRule(
        id="unfinished-uploads",
        abort_incomplete_multipart_upload_after=cdk.Duration.days(_UNFINISHED_UPLOAD_DAYS),
        expired_object_delete_marker=True,
    )
