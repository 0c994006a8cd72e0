"""Where a run's evidence is kept for the auditors: the target's transaction log bucket."""

from datetime import UTC, datetime
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError

from pm_core.contracts import DataContract
from pm_cutover.aws.session import as_pm_error
from pm_cutover.environment import Deployment
from pm_cutover.errors import RefusedError
from pm_cutover.evidence import EvidenceLog

PREFIX = "evidence/"


def archive(deployment: Deployment, evidence: EvidenceLog) -> str:
    """Put what one run wrote into the bucket, as one object that nothing ever overwrites.

    The target's bucket, because it outlives the migration. Its replication carries the object to the
    audit replica.

    Returns:
        ``s3://<bucket>/evidence/<UTC>-<verb>-<id>.jsonl``.

    Raises:
        RefusedError: The bucket is not there, or does not take the object.
    """
    data = deployment.contract(DataContract, "target")
    bucket = data.log_bucket
    key = f"{PREFIX}{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{evidence.verb}-{uuid4().hex[:8]}.jsonl"
    body = "".join(f"{line}\n" for line in evidence.lines).encode()
    try:
        deployment.aws.client("s3").put_object(
            Bucket=bucket,
            Key=key,
            Body=body,
            ContentType="application/jsonl",
            # The bucket's policy refuses what does not name its key.
            ServerSideEncryption="aws:kms",
            SSEKMSKeyId=data.key_arn,
        )
    except (BotoCoreError, ClientError) as error:
        raise RefusedError(f"bucket {bucket} does not take it: {as_pm_error(error)}") from error
    return f"s3://{bucket}/{key}"
