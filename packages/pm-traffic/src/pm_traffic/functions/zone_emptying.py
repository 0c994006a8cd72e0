"""The function behind EmptiedZone: removes the records that keep Route 53 from deleting a zone, when its stack goes."""

import time
from typing import Any

import boto3
from botocore.config import Config

from pm_core.custom_resources import LOG, Outcome, Request, answers, goes

_AWS = Config(connect_timeout=5, read_timeout=30, retries={"max_attempts": 8, "mode": "adaptive"})
# A change batch holds at most 1000 records. Source: Route 53 developer guide, "Quotas".
_BATCH = 500
# Route 53 makes these two with the zone and deletes them with it.
_OF_THE_ZONE = {"NS", "SOA"}


class ZoneNotEmptyError(TimeoutError):
    """There was no time to remove every record; deleting the stack again goes on where this ended."""


def empty(route53: Any, zone_id: str, *, seconds: float) -> int:
    """Delete every record but the zone's own NS and SOA; how many. A zone that is gone has none.

    Raises:
        ZoneNotEmptyError: ``seconds`` were not enough.
    """
    deadline = time.monotonic() + seconds
    deleted = 0
    while True:
        try:
            apex = route53.get_hosted_zone(Id=zone_id)["HostedZone"]["Name"]
            pages = route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone_id)
            records = [
                record
                for page in pages
                for record in page["ResourceRecordSets"]
                if not (record["Name"] == apex and record["Type"] in _OF_THE_ZONE)
            ]
        except route53.exceptions.NoSuchHostedZone:
            return deleted
        if not records:
            return deleted
        if time.monotonic() > deadline:
            raise ZoneNotEmptyError(f"{len(records)} records of {zone_id} are left after {seconds:.0f} s: delete again")
        changes = [{"Action": "DELETE", "ResourceRecordSet": record} for record in records[:_BATCH]]
        route53.change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch={"Changes": changes})
        deleted += len(changes)


def work(request: Request) -> Outcome:
    """One request of CloudFormation. Properties: HostedZoneId. Only a Delete with the stack does something."""
    zone_id = request.properties["HostedZoneId"]
    if request.kind == "Delete":
        if goes(boto3.client("cloudformation", config=_AWS), request.stack_id):
            count = empty(boto3.client("route53", config=_AWS), zone_id, seconds=request.seconds)
            LOG.info("removed %d records from %s", count, zone_id)
        else:
            LOG.warning("%s keeps its records: its stack is not being deleted", zone_id)
    return Outcome(physical_id=f"emptied:{zone_id}")


handle = answers(work)
