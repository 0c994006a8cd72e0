"""The templates of TransactionLogs and AuditReplica."""

import json
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import boto3
import pytest
from aws_cdk.assertions import Template
from botocore.validate import ParamValidator

from pm_core.cdk import CustomerKey
from pm_data import (
    AuditPropsError,
    AuditReplica,
    AuditReplicaProps,
    LogsPropsError,
    Replica,
    TransactionLogs,
    TransactionLogsProps,
    audit_replica,
    replica_bucket_name,
    replica_key_alias,
    replication_role_arn,
)

CONTEXT = json.loads((Path(__file__).parents[3] / "cdk.json").read_text())["context"]
HERE = {"environment": "source", "suffix": "t1"}
HOME, AWAY, ACCOUNT = "us-east-1", "us-west-2", "123456789012"
TARGET_BUCKET = f"bucket-transaction-logs-target-t1-{ACCOUNT}"
TARGET_KEY = f"arn:aws:kms:{HOME}:{ACCOUNT}:key/1234"
MIGRATION = Replica(rule="migration", bucket=TARGET_BUCKET, region=HOME, key_arn=TARGET_KEY)

Found = dict[str, Any]


def new_stack(region: str) -> cdk.Stack:
    return cdk.Stack(cdk.App(context=CONTEXT), "any", env=cdk.Environment(account=ACCOUNT, region=region))


def new_key(stack: cdk.Stack) -> CustomerKey:
    return CustomerKey(stack, "Key", **HERE, qualifier="data", description="Data")


def plain(value: Any) -> Any:
    """A template's value with references written out: ``<LogicalId>``, ``<LogicalId.Attribute>``, the account's id."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value == {"Ref": "AWS::AccountId"}:
        return ACCOUNT
    if "Ref" in value:
        return f"<{value['Ref']}>"
    if "Fn::GetAtt" in value:
        return f"<{'.'.join(value['Fn::GetAtt'])}>"
    if "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return separator.join(plain(parts))
    return {name: plain(item) for name, item in value.items()}


def of_type(template: Template, kind: str) -> Found:
    """Resources of one type by logical id."""
    return {name: plain(resource) for name, resource in template.find_resources(kind).items()}


def one(template: Template, kind: str, part: str) -> Found:
    """The only resource of a type with ``part`` in its logical id."""
    ((_, resource),) = ((name, item) for name, item in of_type(template, kind).items() if part in name)
    return dict(resource)


def statements(template: Template, kind: str, part: str) -> list[Found]:
    return list(one(template, kind, part)["Properties"]["PolicyDocument"]["Statement"])


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.fixture(scope="module")
def logs() -> Template:
    stack = new_stack(HOME)
    TransactionLogs(
        stack,
        "TransactionLogs",
        props=TransactionLogsProps(
            **HERE,
            key=new_key(stack),
            replicas=[audit_replica("source", "t1", region=AWAY), MIGRATION],
            replicators=[replication_role_arn("target", "t1")],
        ),
    )
    return Template.from_stack(stack)


@pytest.fixture(scope="module")
def audit() -> Template:
    stack = new_stack(AWAY)
    AuditReplica(stack, "Replica", props=AuditReplicaProps(**HERE))
    return Template.from_stack(stack)


@pytest.fixture(params=["logs", "audit"])
def either(request: pytest.FixtureRequest) -> Template:
    template: Template = request.getfixturevalue(request.param)
    return template


def test_every_bucket_is_versioned_private_and_gone_with_its_stack(either: Template) -> None:
    buckets = of_type(either, "AWS::S3::Bucket")
    assert len(buckets) == 2
    for bucket in buckets.values():
        properties = bucket["Properties"]
        assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        assert len(properties["PublicAccessBlockConfiguration"]) == 4
        assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Delete"


def test_logical_ids_and_names_of_the_buckets_stay(logs: Template, audit: Template) -> None:
    names = {
        logical_id: bucket["Properties"]["BucketName"]
        for template in (logs, audit)
        for logical_id, bucket in of_type(template, "AWS::S3::Bucket").items()
    }
    assert names == {
        "TransactionLogsStorageBucket71D1F6F0": f"bucket-transaction-logs-source-t1-{ACCOUNT}",
        "TransactionLogsStorageAccessLogs3E228057": f"bucket-transaction-logs-access-source-t1-{ACCOUNT}",
        "ReplicaStorageBucket4A6D9942": f"bucket-audit-source-t1-{ACCOUNT}",
        "ReplicaStorageAccessLogs4D1A75CB": f"bucket-audit-access-source-t1-{ACCOUNT}",
    }


def test_objects_are_encrypted_with_the_environments_key_and_a_bucket_key(either: Template) -> None:
    ((_, key),) = of_type(either, "AWS::KMS::Key").items()
    assert key["Properties"]["EnableKeyRotation"] is True
    (rule,) = one(either, "AWS::S3::Bucket", "StorageBucket")["Properties"]["BucketEncryption"][
        "ServerSideEncryptionConfiguration"
    ]
    (key_id,) = of_type(either, "AWS::KMS::Key")
    assert rule == {
        "BucketKeyEnabled": True,
        "ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": f"<{key_id}.Arn>"},
    }


def test_who_used_a_bucket_is_logged_into_one_that_s3_can_deliver_to(either: Template) -> None:
    used = one(either, "AWS::S3::Bucket", "StorageBucket")
    logging = used["Properties"]["LoggingConfiguration"]
    access = one(either, "AWS::S3::Bucket", "AccessLogs")
    assert "AccessLogs" in logging["DestinationBucketName"]
    assert access["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"] == [
        {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    ]
    (admission,) = (
        item for item in statements(either, "AWS::S3::BucketPolicy", "AccessLogs") if item["Effect"] == "Allow"
    )
    assert admission["Principal"] == {"Service": "logging.s3.amazonaws.com"}
    assert admission["Action"] == "s3:PutObject"
    assert "StorageBucket" in admission["Condition"]["ArnLike"]["aws:SourceArn"]
    assert admission["Condition"]["StringEquals"] == {"aws:SourceAccount": ACCOUNT}


@pytest.mark.parametrize("bucket", ["StorageBucket", "AccessLogs"])
@pytest.mark.parametrize(
    "condition", [{"Bool": {"aws:SecureTransport": "false"}}, {"NumericLessThan": {"s3:TlsVersion": 1.2}}]
)
def test_every_bucket_takes_recent_tls_only(either: Template, bucket: str, condition: Found) -> None:
    (refusal,) = (
        item for item in statements(either, "AWS::S3::BucketPolicy", bucket) if item.get("Condition", {}) == condition
    )
    assert (refusal["Effect"], refusal["Action"], refusal["Principal"]) == ("Deny", "s3:*", {"AWS": "*"})
    assert len(refusal["Resource"]) == 2


def test_an_object_that_does_not_name_the_key_is_refused_unless_replication_brings_it(logs: Template) -> None:
    refusals = {
        item["Sid"]: item for item in statements(logs, "AWS::S3::BucketPolicy", "StorageBucket") if "Sid" in item
    }
    (key_id,) = of_type(logs, "AWS::KMS::Key")
    algorithm = "s3:x-amz-server-side-encryption"
    exempt = {"aws:PrincipalArn": [f"arn:aws:iam::{ACCOUNT}:role/role-replicate-logs-target-t1"]}
    for sid, condition in (
        ("OnlyEncryptedByKms", {algorithm: "aws:kms"}),
        ("OnlyWithTheKey", {f"{algorithm}-aws-kms-key-id": f"<{key_id}.Arn>"}),
    ):
        assert (refusals[sid]["Effect"], refusals[sid]["Action"]) == ("Deny", "s3:PutObject")
        # Not IfExists: a request that leaves the header out is refused, too.
        assert refusals[sid]["Condition"] == {"StringNotEquals": condition, "ArnNotEquals": exempt}


def test_nobody_but_replication_puts_objects_into_the_audit_replica(audit: Template) -> None:
    (refusal,) = (item for item in statements(audit, "AWS::S3::BucketPolicy", "StorageBucket") if "Sid" in item)
    assert refusal["Sid"] == "OnlyReplicas"
    assert (refusal["Effect"], refusal["Action"], refusal["Principal"]) == ("Deny", "s3:PutObject", {"AWS": "*"})
    role = f"arn:aws:iam::{ACCOUNT}:role/role-replicate-logs-source-t1"
    assert refusal["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": [role]}}


def lifecycle(template: Template, part: str) -> dict[str, Found]:
    rules = one(template, "AWS::S3::Bucket", part)["Properties"]["LifecycleConfiguration"]["Rules"]
    assert {rule["Status"] for rule in rules} == {"Enabled"}
    return {rule["Id"]: rule for rule in rules}


def test_logs_get_cheaper_with_age_and_go_in_the_end(logs: Template) -> None:
    archive = lifecycle(logs, "StorageBucket")["archive"]
    assert archive["Transitions"] == [
        {"StorageClass": "STANDARD_IA", "TransitionInDays": 30},
        {"StorageClass": "GLACIER_IR", "TransitionInDays": 90},
    ]
    assert archive["ExpirationInDays"] == 2557
    assert archive["NoncurrentVersionExpiration"] == {"NoncurrentDays": 90}


def test_replicas_are_archived_at_once_and_keep_old_versions_as_long_as_the_newest(audit: Template) -> None:
    archive = lifecycle(audit, "StorageBucket")["archive"]
    assert archive["Transitions"] == [
        {"StorageClass": "GLACIER_IR", "TransitionInDays": 0},
        {"StorageClass": "DEEP_ARCHIVE", "TransitionInDays": 365},
    ]
    assert archive["ExpirationInDays"] == archive["NoncurrentVersionExpiration"]["NoncurrentDays"] == 2557


@pytest.mark.parametrize("part", ["StorageBucket", "AccessLogs"])
def test_unfinished_uploads_and_lone_delete_markers_go(either: Template, part: str) -> None:
    rule = lifecycle(either, part)["unfinished-uploads"]
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert rule["ExpiredObjectDeleteMarker"] is True


def replication(template: Template) -> Found:
    found: Found = one(template, "AWS::S3::Bucket", "StorageBucket")["Properties"]["ReplicationConfiguration"]
    return found


def test_rules_for_several_destinations_have_filters_and_priorities(logs: Template) -> None:
    rules = replication(logs)["Rules"]
    assert [(rule["Id"], rule["Priority"], rule["Filter"], rule["Status"]) for rule in rules] == [
        ("audit", 1, {"Prefix": ""}, "Enabled"),
        ("migration", 2, {"Prefix": ""}, "Enabled"),
    ]


def test_objects_encrypted_by_kms_are_selected_and_encrypted_anew_with_the_replicas_key(logs: Template) -> None:
    keys = []
    for rule in replication(logs)["Rules"]:
        assert rule["SourceSelectionCriteria"] == {"SseKmsEncryptedObjects": {"Status": "Enabled"}}
        keys.append(rule["Destination"]["EncryptionConfiguration"]["ReplicaKmsKeyID"])
    assert keys == [f"arn:aws:kms:{AWAY}:{ACCOUNT}:alias/alias-audit-source-t1", TARGET_KEY]


def test_audit_replication_is_timed_and_measured_and_never_deletes(logs: Template) -> None:
    audit, migration = replication(logs)["Rules"]
    assert audit["DeleteMarkerReplication"] == migration["DeleteMarkerReplication"] == {"Status": "Disabled"}
    assert audit["Destination"]["ReplicationTime"] == {"Status": "Enabled", "Time": {"Minutes": 15}}
    assert audit["Destination"]["Metrics"] == {"Status": "Enabled", "EventThreshold": {"Minutes": 15}}
    # The migration is measured without being timed, which S3 charges for by the gigabyte.
    assert migration["Destination"]["Metrics"] == {"Status": "Enabled"}
    assert "ReplicationTime" not in migration["Destination"]


def test_replicas_stay_in_the_account_with_the_buckets_owner(logs: Template) -> None:
    for rule in replication(logs)["Rules"]:
        assert not {"Account", "AccessControlTranslation"} & rule["Destination"].keys()


def test_rules_are_made_after_versioning_and_after_the_role_may_replicate(logs: Template) -> None:
    bucket = one(logs, "AWS::S3::Bucket", "StorageBucket")
    assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
    assert any("ReplicationPolicy" in name for name in bucket["DependsOn"])


def test_the_destination_that_is_derived_is_the_one_that_is_made(logs: Template, audit: Template) -> None:
    rule = replication(logs)["Rules"][0]
    bucket = one(audit, "AWS::S3::Bucket", "StorageBucket")["Properties"]["BucketName"]
    assert rule["Destination"]["Bucket"] == f"arn:aws:s3:::{bucket}"
    alias = one(audit, "AWS::KMS::Alias", "Key")["Properties"]["AliasName"]
    assert alias == replica_key_alias("source", "t1")
    assert rule["Destination"]["EncryptionConfiguration"]["ReplicaKmsKeyID"].endswith(f":{alias}")
    assert plain(new_stack(HOME).resolve(replica_bucket_name("source", "t1"))) == bucket


def test_replication_role_may_read_one_bucket_and_write_to_its_replicas(logs: Template) -> None:
    role = one(logs, "AWS::IAM::Role", "ReplicationRole")["Properties"]
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "s3.amazonaws.com"}
    assert f"role/{role['RoleName']}" in plain(new_stack(HOME).resolve(replication_role_arn("source", "t1")))
    source = f"arn:aws:s3:::bucket-transaction-logs-source-t1-{ACCOUNT}"
    audit, target = f"arn:aws:s3:::bucket-audit-source-t1-{ACCOUNT}", f"arn:aws:s3:::{TARGET_BUCKET}"
    allowed = {
        (action, resource)
        for item in statements(logs, "AWS::IAM::ManagedPolicy", "ReplicationPolicy")
        for action in listed(item["Action"])
        for resource in listed(item["Resource"])
        if action.startswith("s3:")
    }
    assert allowed == {
        ("s3:GetReplicationConfiguration", source),
        ("s3:ListBucket", source),
        ("s3:GetObjectVersionForReplication", f"{source}/*"),
        ("s3:GetObjectVersionAcl", f"{source}/*"),
        ("s3:GetObjectVersionTagging", f"{source}/*"),
        *((f"s3:Replicate{what}", f"{bucket}/*") for bucket in (audit, target) for what in ("Object", "Tags")),
    }


def test_replication_role_may_decrypt_here_and_encrypt_there_for_these_buckets_only(logs: Template) -> None:
    by_keys = {
        item["Resource"]: item
        for item in statements(logs, "AWS::IAM::ManagedPolicy", "ReplicationPolicy")
        if any(action.startswith("kms:") for action in listed(item["Action"]))
    }
    (key_id,) = of_type(logs, "AWS::KMS::Key")
    anywhere = f"arn:aws:kms:{AWAY}:{ACCOUNT}:key/*"
    assert by_keys.keys() == {f"<{key_id}.Arn>", anywhere, TARGET_KEY}
    assert by_keys[f"<{key_id}.Arn>"]["Action"] == "kms:Decrypt"
    assert by_keys[anywhere]["Action"] == by_keys[TARGET_KEY]["Action"] == ["kms:Encrypt", "kms:GenerateDataKey"]
    aliased = by_keys[anywhere]["Condition"]["ForAnyValue:StringEquals"]
    assert aliased == {"kms:ResourceAliases": replica_key_alias("source", "t1")}
    for item, region, bucket in (
        (by_keys[f"<{key_id}.Arn>"], "<AWS::Region>", f"bucket-transaction-logs-source-t1-{ACCOUNT}"),
        (by_keys[anywhere], AWAY, f"bucket-audit-source-t1-{ACCOUNT}"),
        (by_keys[TARGET_KEY], HOME, TARGET_BUCKET),
    ):
        assert item["Condition"]["StringEquals"]["kms:ViaService"] == f"s3.{region}.amazonaws.com"
        context = item["Condition"]["StringLike"]["kms:EncryptionContext:aws:s3:arn"]
        assert context == [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]


def test_existing_logs_can_be_replicated_by_a_role_of_their_own(logs: Template) -> None:
    role = one(logs, "AWS::IAM::Role", "BatchRole")["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]
    assert role["Principal"] == {"Service": "batchoperations.s3.amazonaws.com"}
    assert "Condition" not in role  # S3 documents none, and a key that it does not send would refuse every job
    actions = {
        action
        for item in statements(logs, "AWS::IAM::ManagedPolicy", "BatchPolicy")
        for action in listed(item["Action"])
    }
    assert actions == {
        *("s3:GetReplicationConfiguration", "s3:PutInventoryConfiguration", "s3:InitiateReplication"),
        "s3:PutObject",
    }


def commands() -> dict[str, list[str]]:
    """The operator's commands in words, as a shell splits them."""
    stack = new_stack(HOME)
    logs = TransactionLogs(
        stack,
        "TransactionLogs",
        props=TransactionLogsProps(
            **HERE, key=new_key(stack), replicas=[audit_replica("source", "t1", region=AWAY), MIGRATION]
        ),
    )
    return {name: shlex.split(plain(stack.resolve(command.line))) for name, command in logs.commands.items()}


def test_existing_logs_are_offered_as_a_job_that_s3_control_accepts() -> None:
    words = commands()["ReplicateExistingLogsCommand"]
    options = dict(pairwise(words))
    assert words[:3] == ["aws", "s3control", "create-job"]
    manifest, report = json.loads(options["--manifest-generator"]), json.loads(options["--report"])
    assert manifest["S3JobManifestGenerator"]["Filter"]["ObjectReplicationStatuses"] == [
        "NONE",
        "FAILED",
        "COMPLETED",
        "REPLICA",
    ]
    arn = f"arn:aws:s3:::bucket-{ACCOUNT}"
    manifest["S3JobManifestGenerator"]["SourceBucket"] = report["Bucket"] = arn
    shape = boto3.client("s3control", region_name=HOME).meta.service_model.operation_model("CreateJob").input_shape
    arguments = {
        "AccountId": options["--account-id"],
        "ConfirmationRequired": "--no-confirmation-required" not in words,
        "Operation": json.loads(options["--operation"]),
        "ManifestGenerator": manifest,
        "Report": report,
        "Priority": int(options["--priority"]),
        "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/any",
        "ClientRequestToken": "the CLI makes one",
    }
    assert ParamValidator().validate(arguments, shape).generate_report() == ""


def test_replication_can_be_watched_rule_by_rule() -> None:
    found = commands()
    for rule, bucket in (("Audit", f"bucket-audit-source-t1-{ACCOUNT}"), ("Migration", TARGET_BUCKET)):
        words = found[f"{rule}ReplicationStatusCommand"]
        assert words[:3] == ["aws", "cloudwatch", "get-metric-statistics"]
        assert {f"Name=DestinationBucket,Value={bucket}", f"Name=RuleId,Value={rule.lower()}"} <= set(words)
    assert found["LogReplicationRulesCommand"][:3] == ["aws", "s3api", "get-bucket-replication"]


def test_a_bucket_without_replicas_has_no_rules_and_no_roles_for_them() -> None:
    stack = new_stack(HOME)
    logs = TransactionLogs(stack, "TransactionLogs", props=TransactionLogsProps(**HERE, key=new_key(stack)))
    assert logs.commands == {}
    template = Template.from_stack(stack)
    assert "ReplicationConfiguration" not in one(template, "AWS::S3::Bucket", "StorageBucket")["Properties"]
    assert [name for name in of_type(template, "AWS::IAM::Role") if "Replication" in name] == []


def test_a_bucket_is_closed_last_so_that_it_does_not_stand_open_until_its_access_logs_are_gone(
    either: Template,
) -> None:
    emptied = of_type(either, "Custom::EmptiedBucket")
    (access_logs,) = (name for name in emptied if "AccessLogs" in name)
    (bucket,) = set(emptied) - {access_logs}
    assert bucket in emptied[access_logs]["DependsOn"]  # deleted in the other order
    assert access_logs not in emptied[bucket]["DependsOn"]


def test_both_buckets_are_emptied_while_policy_and_permission_still_stand(either: Template) -> None:
    emptied = of_type(either, "Custom::EmptiedBucket")
    assert len(emptied) == 2
    for resource in emptied.values():
        bucket = resource["Properties"]["BucketName"].strip("<>")
        policy = next(
            name
            for name, item in of_type(either, "AWS::S3::BucketPolicy").items()
            if item["Properties"]["Bucket"] == f"<{bucket}>"
        )
        assert policy in resource["DependsOn"]
        function = of_type(either, "AWS::Lambda::Function")[resource["Properties"]["ServiceToken"].strip("<>")[:-4]]
        assert any("EmptyingProviderPolicy" in name for name in function["DependsOn"])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"archive_after_days": 59}, "archive_after_days 59: give 60 or more"),
        ({"expire_after_days": 90}, "expire_after_days 90: give more than archive_after_days 90"),
        ({"old_versions_days": 0}, "old_versions_days 0: give 1 or more"),
        ({"replicas": [MIGRATION, MIGRATION]}, "give each rule once"),
    ],
)
def test_log_props_out_of_limits_are_refused(changed: Found, message: str) -> None:
    with pytest.raises(LogsPropsError, match=message):
        TransactionLogsProps(**HERE, key=new_key(new_stack(HOME)), **changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"archive_after_days": 89}, "archive_after_days 89: give 90 or more"),
        ({"expire_after_days": 365}, "expire_after_days 365: give more than archive_after_days 365"),
    ],
)
def test_audit_props_out_of_limits_are_refused(changed: Found, message: str) -> None:
    with pytest.raises(AuditPropsError, match=message):
        AuditReplicaProps(**HERE, **changed)
