"""What an operator types to see the replication of transaction logs, and to have S3 copy what is older than it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3

from pm_data.bucket_replication import REPORT_PREFIX, Replica

# Also what is complete, for a rule that was made later has not seen it; and what is a copy itself, as the source's logs
# in the target's bucket are, for no rule copies that on. A copy that is there already is not made again.
_STATUSES = ("NONE", "FAILED", "COMPLETED", "REPLICA")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A line for a shell.

    Attributes:
        description: What it does.
        line: The line.
    """

    description: str
    line: str


def replication_commands(
    *, bucket: s3.IBucket, replicas: Sequence[Replica], batch_role: iam.IRole, reports: s3.IBucket
) -> Mapping[str, Command]:
    """The commands for one log bucket, by output name.

    Args:
        bucket: The log bucket.
        replicas: Where its objects are copied.
        batch_role: Of the job that copies existing objects.
        reports: Gets that job's report, of failures only.
    """
    region = f"--region {cdk.Aws.REGION}"
    commands = {
        "LogReplicationRulesCommand": Command(
            description="Shows where S3 copies the transaction logs.",
            line=f"aws s3api get-bucket-replication {region} --bucket {bucket.bucket_name}",
        ),
        "ReplicateExistingLogsCommand": Command(
            description="Has S3 copy the transaction logs that are older than a replication rule.",
            line=f"aws s3control create-job {region} --account-id {cdk.Aws.ACCOUNT_ID} --no-confirmation-required"
            f" --priority 10 --role-arn {batch_role.role_arn} --operation '{_json({'S3ReplicateObject': {}})}'"
            f" --manifest-generator '{_json(_manifest(bucket))}' --report '{_json(_report(reports))}'",
        ),
    }
    for replica in replicas:
        commands[f"{replica.rule.capitalize()}ReplicationStatusCommand"] = Command(
            description=f"Shows how many transaction logs waited for the rule {replica.rule}, minute by minute.",
            # S3 publishes it where the copies arrive.
            line=f"aws cloudwatch get-metric-statistics --region {replica.region} --namespace AWS/S3"
            f" --metric-name OperationsPendingReplication --dimensions Name=SourceBucket,Value={bucket.bucket_name}"
            f" Name=DestinationBucket,Value={replica.bucket} Name=RuleId,Value={replica.rule}"
            " --start-time $(date -u -d -15minutes +%FT%TZ) --end-time $(date -u +%FT%TZ)"
            " --period 60 --statistics Maximum",
        )
    return commands


def _manifest(bucket: s3.IBucket) -> Mapping[str, object]:
    return {
        "S3JobManifestGenerator": {
            "SourceBucket": bucket.bucket_arn,
            "Filter": {"EligibleForReplication": True, "ObjectReplicationStatuses": _STATUSES},
            "EnableManifestOutput": False,
        }
    }


def _report(reports: s3.IBucket) -> Mapping[str, object]:
    return {
        "Bucket": reports.bucket_arn,
        "Prefix": REPORT_PREFIX.rstrip("/"),
        "Format": "Report_CSV_20180820",
        "Enabled": True,
        "ReportScope": "FailedTasksOnly",
    }


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
