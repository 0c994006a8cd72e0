"""The function behind KeptWeight: a weighted record goes with its stack, and until then has the weight in force.

CloudFormation knows the weight that it deployed last; Route 53 and SSM have the one that `pm shift` wrote since. It
deletes the record with what it knows, Route 53 deletes only an exact match, and CloudFormation takes the refusal for
success: the record would outlive its stack. And an update that fails would end with the weight from before.

`Custom::KeptWeight` is made before the record and deleted after it. Its physical id says what the record is made from,
so that whatever touches the record replaces this resource first, and CloudFormation deletes the one that is left over
at the very end, of the update or of its rollback. That Delete sets the weight right; one with the stack deletes what
is left of the record.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from pm_core.custom_resources import LOG, Outcome, Request, answers, goes

POLL_SECONDS = 1.0
_AWS = Config(connect_timeout=5, read_timeout=30, retries={"max_attempts": 8, "mode": "adaptive"})


class WeightTimeoutError(TimeoutError):
    """Somebody kept changing the weight; the message names the parameter that says what it should be."""


def identity(record: Mapping[str, Any]) -> str:
    """The physical id of `Custom::KeptWeight`: what the record is made from."""
    made_from = json.dumps(record, sort_keys=True)
    return f"kept-weight-{hashlib.sha256(made_from.encode()).hexdigest()[:16]}"


def remove(route53: Any, record: Mapping[str, Any], *, seconds: float) -> None:
    """Delete the record with the values that it has now. Gone is fine, with or without its zone.

    One that points to another load balancer is somebody else's, and stays.

    Args:
        route53: A boto3 client.
        record: Properties of AWS::Route53::RecordSet.
        seconds: For how long a record that changes between look and deletion is looked at again.

    Raises:
        InvalidChangeBatch: Route 53's error, when the record still changed at the end of that time.
    """
    deadline = time.monotonic() + seconds
    while (live := _live(route53, record)) is not None:
        points_to = [value["Value"] for value in live["ResourceRecords"]]
        if [_plain(name) for name in points_to] != [_plain(name) for name in record["ResourceRecords"]]:
            LOG.warning("%s %s stays: it points to %s", record["Name"], record["SetIdentifier"], points_to)
            return
        try:
            _change(route53, record, "DELETE", live)
        except route53.exceptions.InvalidChangeBatch as error:
            if time.monotonic() + POLL_SECONDS > deadline:
                raise
            LOG.info("not deleted, looking again: %s", error)
            time.sleep(POLL_SECONDS)
        else:
            LOG.info("deleted %s %s, of weight %d", record["Name"], record["SetIdentifier"], live["Weight"])
            return


def keep(route53: Any, ssm: Any, record: Mapping[str, Any], parameter: str, *, seconds: float) -> None:
    """Give the record the weight that SSM says, and leave its other values as they are. Gone is fine.

    Args:
        route53: A boto3 client.
        ssm: A boto3 client.
        record: Properties of AWS::Route53::RecordSet.
        parameter: Path of the weight, 0 to 100.
        seconds: For how long the parameter may go on changing.

    Raises:
        WeightTimeoutError: It changed for longer.
    """
    deadline = time.monotonic() + seconds
    weight = _weight(ssm, parameter)
    while (live := _live(route53, record)) is not None:
        if live["Weight"] != weight:
            _change(route53, record, "UPSERT", {**live, "Weight": weight})
            LOG.info("%s %s: %d, now %d", record["Name"], record["SetIdentifier"], live["Weight"], weight)
        # `pm shift` writes SSM first and then Route 53: if SSM says the same as before, it did not come in between.
        written, weight = weight, _weight(ssm, parameter)
        if weight == written:
            return
        if time.monotonic() > deadline:
            raise WeightTimeoutError(f"{parameter} still changes after {seconds:.0f} s: see who shifts, then update")


def _weight(ssm: Any, parameter: str) -> int:
    return int(ssm.get_parameter(Name=parameter)["Parameter"]["Value"])


def _live(route53: Any, record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record as it is now."""
    try:
        # One page: a name has at most 100 records of one type. Source: Route 53 developer guide, "Quotas".
        found = route53.list_resource_record_sets(
            HostedZoneId=record["HostedZoneId"], StartRecordName=record["Name"], StartRecordType=record["Type"]
        )["ResourceRecordSets"]
    except route53.exceptions.NoSuchHostedZone:
        return None
    wanted = (_plain(record["Name"]), record["Type"], record["SetIdentifier"])
    for live in found:
        if (_plain(live["Name"]), live["Type"], live.get("SetIdentifier")) == wanted:
            return dict(live)
    return None


def _change(route53: Any, record: Mapping[str, Any], action: str, live: Mapping[str, Any]) -> None:
    changes = [{"Action": action, "ResourceRecordSet": live}]
    route53.change_resource_record_sets(HostedZoneId=record["HostedZoneId"], ChangeBatch={"Changes": changes})


def _plain(name: str) -> str:
    return name.rstrip(".").lower()


def work(request: Request) -> Outcome:
    """One request of CloudFormation. Properties: Record (the RecordSet's), WeightParameter (path).

    Only a Delete does something.
    """
    record = request.properties["Record"]
    if request.kind == "Delete":
        route53 = boto3.client("route53", config=_AWS)
        if goes(boto3.client("cloudformation", config=_AWS), request.stack_id):
            remove(route53, record, seconds=request.seconds)
        else:
            ssm = boto3.client("ssm", config=_AWS)
            try:
                keep(route53, ssm, record, request.properties["WeightParameter"], seconds=request.seconds)
            except ClientError as error:
                # The stack has moved to another zone, and the permission with it: the old zone's record goes its way.
                if error.response["Error"]["Code"] != "AccessDenied":
                    raise
                LOG.warning("%s %s keeps its weight: %s", record["Name"], record["SetIdentifier"], error)
    return Outcome(physical_id=identity(record))


handle = answers(work)
