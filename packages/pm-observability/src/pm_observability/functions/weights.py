"""How Route 53 shares the traffic out."""

from typing import Any


def weights(route53: Any, *, zone_id: str, record: str) -> dict[str, Any]:
    """The share of the traffic that Route 53 sends to each environment, 0 to 100 by environment."""
    found = route53.list_resource_record_sets(HostedZoneId=zone_id, StartRecordName=record)["ResourceRecordSets"]
    return {
        entry["SetIdentifier"]: int(entry["Weight"])
        for entry in found
        if entry["Name"].rstrip(".") == record.rstrip(".") and "Weight" in entry
    }
