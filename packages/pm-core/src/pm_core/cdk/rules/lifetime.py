"""Resources that would outlive their stack, or keep it from being deleted."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pm_core.cdk.rules.properties import Check, Properties, at, each, equals, is_intrinsic, is_off, one_of
from pm_core.cdk.rules.resource import Neighbours, Resource, means
from pm_core.cdk.rules.schema import properties_of

# A property of one of these names, at any depth and of any type, keeps what it is on from being deleted.
_PROTECTIONS: Mapping[str, str] = {
    "deletionprotection": "DeletionProtection",
    "deletionprotectionenabled": "DeletionProtectionEnabled",
    "deleteprotection": "DeleteProtection",
    "deletionprotected": "DeletionProtected",
    "terminationprotectionenabled": "TerminationProtectionEnabled",
    "disableapitermination": "DisableApiTermination",
}
# Of these names it leaves a copy behind, for which nobody answers.
_COPIES: Mapping[str, str] = {
    "finalsnapshotname": "FinalSnapshotName",
    "finalsnapshotretentionperiod": "FinalSnapshotRetentionPeriod",
}
_EMPTIED = ("Custom::EmptiedBucket", "Custom::S3AutoDeleteObjects")


def concerns_lifetime(kind: str) -> bool:
    """Whether :func:`undying` has anything to ask of a type; it need not be called otherwise."""
    known = properties_of(kind)
    return (
        kind in _TABLE
        or kind in _WITH_NEIGHBOURS
        # Protected as a whole, or replica by replica.
        or "replicas" in known
        or not known.keys().isdisjoint({*_PROTECTIONS, *_COPIES})
    )


def undying(resource: Resource, neighbours: Callable[[], Neighbours]) -> Iterator[str]:
    """Why a resource would outlive its stack or keep it from being deleted, and what to do; nothing when it is fine.

    DeletionPolicy and UpdateReplacePolicy are no properties, and for the aspect to look at. Secrets need no look: when
    CloudFormation deletes one, it asks for no recovery window.
    """
    yield from _named(resource.properties, "")
    check = _TABLE.get(resource.kind)
    if check and (problem := check(resource.properties)):
        yield problem
    if resource.kind in _WITH_NEIGHBOURS:
        yield from _WITH_NEIGHBOURS[resource.kind](resource, neighbours)


def _named(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _named(item, path)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if key in _PROTECTIONS and not isinstance(inner, Mapping):
                if not is_off(inner):
                    yield f"{path}{_PROTECTIONS[key]} is on: switch it off"
            elif key in _COPIES:
                if not is_off(inner):
                    yield f"{path}{_COPIES[key]} is set: leave it out, so that nothing stays behind"
            else:
                yield from _named(inner, path)


def _bucket(bucket: Resource, neighbours: Callable[[], Neighbours]) -> Iterator[str]:
    for name in ("ObjectLockEnabled", "ObjectLockConfiguration"):
        if not is_off(at(bucket.properties, name)):
            yield f"{name} is on: locked objects cannot be deleted, and so the bucket cannot; leave it out"
    if not any(neighbours().that_mean(bucket, "BucketName", kinds=_EMPTIED)):
        yield "a bucket with objects cannot be deleted: have it emptied by pm_core.cdk.BucketEmptying"


def _function(function: Resource, neighbours: Callable[[], Neighbours]) -> Iterator[str]:
    named = at(function.properties, "LoggingConfig", "LogGroup")
    name = at(function.properties, "FunctionName")
    default = f"/aws/lambda/{name}" if isinstance(name, str) else None
    if not _is_declared(named or default, neighbours):
        yield (
            "LoggingConfig.LogGroup names no log group of this stack: Lambda would make one that stays behind; "
            "declare it with pm_core.cdk.encrypted_log_group"
        )


def _database_logs(instance: Resource, neighbours: Callable[[], Neighbours]) -> Iterator[str]:
    identifier = at(instance.properties, "DBInstanceIdentifier")
    for log in at(instance.properties, "EnableCloudwatchLogsExports") or ():
        if not _is_declared(f"/aws/rds/instance/{identifier}/{log}", neighbours):
            yield (
                f"EnableCloudwatchLogsExports has {log}, but its log group is not declared: RDS would make one that "
                f"stays behind; declare /aws/rds/instance/<DBInstanceIdentifier>/{log}"
            )


def _build_logs(project: Resource, neighbours: Callable[[], Neighbours]) -> Iterator[str]:
    if str(at(project.properties, "LogsConfig", "CloudWatchLogs", "Status")).upper() == "DISABLED":
        return
    if not _is_declared(at(project.properties, "LogsConfig", "CloudWatchLogs", "GroupName"), neighbours):
        yield (
            "LogsConfig.CloudWatchLogs.GroupName names no log group of this stack: CodeBuild would make one that stays "
            "behind; declare it with pm_core.cdk.encrypted_log_group"
        )


def _is_declared(log_group: Any, neighbours: Callable[[], Neighbours]) -> bool:
    """Whether this stack has the group, or gets its name as a parameter from the one that has it."""
    groups = list(neighbours().of("AWS::Logs::LogGroup"))
    if any(means(log_group, group) for group in groups):
        return True
    return is_intrinsic(log_group) and not any(key.startswith("fn::getatt") for key in log_group)


def _no_load_balancer_protection(properties: Properties) -> str | None:
    attributes = {at(one, "Key"): at(one, "Value") for one in at(properties, "LoadBalancerAttributes") or ()}
    if is_off(attributes.get("deletion_protection.enabled")):
        return None
    return "LoadBalancerAttributes set deletion_protection.enabled: set it to false"


def _volumes_go(*path: str) -> Check:
    def ebs(device: Properties) -> str | None:
        off = at(device, "Ebs", "DeleteOnTermination") is not None and is_off(at(device, "Ebs", "DeleteOnTermination"))
        return "Ebs.DeleteOnTermination is false: set it to true, or the volume stays behind" if off else None

    return each(ebs, *path)


def _no_backups_behind(properties: Properties) -> str | None:
    kept = at(properties, "DeleteAutomatedBackups")
    return None if kept is None else equals(True, "DeleteAutomatedBackups")(properties)


def _left_out(name: str, why: str) -> Check:
    def check(properties: Properties) -> str | None:
        return None if is_off(at(properties, name)) else f"{name} is set: {why}; leave it out"

    return check


_WITH_NEIGHBOURS: Mapping[str, Callable[[Resource, Callable[[], Neighbours]], Iterator[str]]] = {
    "AWS::CodeBuild::Project": _build_logs,
    "AWS::Lambda::Function": _function,
    "AWS::RDS::DBInstance": _database_logs,
    "AWS::S3::Bucket": _bucket,
}
# Source: CloudFormation's template reference of each type.
_TABLE: Mapping[str, Check] = {
    "AWS::Athena::WorkGroup": equals(True, "RecursiveDeleteOption"),
    "AWS::Backup::BackupVault": _left_out("LockConfiguration", "a locked vault cannot be deleted"),
    "AWS::Bedrock::DataSource": one_of(("DELETE",), "DataDeletionPolicy"),
    # Protected unless told otherwise.
    "AWS::CloudTrail::EventDataStore": equals(False, "TerminationProtectionEnabled"),
    "AWS::CodeBuild::ReportGroup": equals(True, "DeleteReports"),
    "AWS::DSQL::Cluster": equals(False, "DeletionProtectionEnabled"),
    "AWS::EC2::Instance": _volumes_go("BlockDeviceMappings"),
    "AWS::EC2::LaunchTemplate": _volumes_go("LaunchTemplateData", "BlockDeviceMappings"),
    "AWS::ECR::Repository": equals(True, "EmptyOnDelete"),
    "AWS::EKS::Addon": _left_out("PreserveOnDelete", "the add-on would stay in the cluster"),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": _no_load_balancer_protection,
    "AWS::NeptuneGraph::Graph": equals(False, "DeletionProtection"),
    "AWS::NetworkFirewall::Firewall": equals(False, "DeleteProtection"),
    "AWS::QLDB::Ledger": equals(False, "DeletionProtection"),
    "AWS::RDS::DBCluster": _no_backups_behind,
    "AWS::RDS::DBInstance": _no_backups_behind,
    "AWS::Serverless::LayerVersion": one_of(("Delete",), "RetentionPolicy"),
    "AWS::StorageGateway::TapePool": _left_out("RetentionLockType", "locked tapes cannot be deleted"),
    "AWS::Synthetics::Canary": one_of(("AUTOMATIC",), "ProvisionedResourceCleanup"),
}
