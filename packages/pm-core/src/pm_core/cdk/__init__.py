"""The CDK part of pm-core: contracts as SSM parameters, aspects, and what several tiers are built from."""

from pm_core.cdk.access_logs import AccessLogBucket, unfinished_uploads
from pm_core.cdk.acknowledgements import acknowledge, acknowledge_lint
from pm_core.cdk.aspects import DestroyableAspect, EncryptionAspect, apply_aspects, encrypted_with_sse_s3
from pm_core.cdk.emptying import BucketEmptying
from pm_core.cdk.functions import Placement, ResourceFunction
from pm_core.cdk.keys import CustomerKey
from pm_core.cdk.log_groups import encrypted_log_group
from pm_core.cdk.object_access import acknowledge_wildcard, object_statement
from pm_core.cdk.packaging import PG8000, PackagingError, function_code
from pm_core.cdk.parameters import publish, read

__all__ = [
    "publish",
    "read",
    "acknowledge",
    "acknowledge_lint",
    "acknowledge_wildcard",
    "apply_aspects",
    "AccessLogBucket",
    "BucketEmptying",
    "CustomerKey",
    "DestroyableAspect",
    "EncryptionAspect",
    "encrypted_log_group",
    "encrypted_with_sse_s3",
    "function_code",
    "object_statement",
    "PG8000",
    "PackagingError",
    "Placement",
    "ResourceFunction",
    "unfinished_uploads",
]
