"""Evidence in the target's bucket; the request is checked against botocore's own model."""

import json
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
from botocore.stub import ANY, Stubber

from pm_core.contracts import DataContract
from pm_cutover.aws.archive import archive
from pm_cutover.aws.session import AwsSession
from pm_cutover.errors import RefusedError
from pm_cutover.evidence import EvidenceLog


class OneBucket:
    """A deployment whose target has a log bucket and nothing else."""

    def __init__(self) -> None:
        self.aws = AwsSession(
            session=boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
        )
        self.s3 = Stubber(self.aws.client("s3"))
        self.s3.activate()

    def contract(self, kind: type[DataContract], environment: str) -> DataContract:
        assert environment == "target"
        values: dict[str, Any] = dict.fromkeys(kind.field_names(), "x")
        return kind(**values | {"log_bucket": "logs-target", "key_arn": "key-target"})


@pytest.fixture
def evidence(tmp_path: Path) -> EvidenceLog:
    log = EvidenceLog(path=tmp_path / "evidence.jsonl", verb="cutover", suffix="blue")
    log.record("started")
    log.record("move", {"epoch": 2})
    return log


def test_a_run_s_evidence_is_one_object_of_the_target_s_bucket(evidence: EvidenceLog):
    deployment = OneBucket()
    expected = {"Bucket": "logs-target", "Key": ANY, "Body": ANY, "ContentType": "application/jsonl"}
    expected |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key-target"}
    deployment.s3.add_response("put_object", {}, expected)
    where = archive(cast(Any, deployment), evidence)
    assert where.startswith("s3://logs-target/evidence/")
    assert where.endswith(".jsonl")
    assert "-cutover-" in where
    deployment.s3.assert_no_pending_responses()


def test_what_is_kept_is_what_the_file_got(evidence: EvidenceLog):
    assert evidence.path.read_text() == "".join(f"{line}\n" for line in evidence.lines)
    assert [json.loads(line)["what"] for line in evidence.lines] == ["started", "move"]


def test_a_bucket_that_refuses_is_named(evidence: EvidenceLog):
    deployment = OneBucket()
    deployment.s3.add_client_error("put_object", "AccessDenied", "no")
    with pytest.raises(RefusedError, match="bucket logs-target does not take it: AWS refused PutObject"):
        archive(cast(Any, deployment), evidence)
