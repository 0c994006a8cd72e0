"""The weights of the two DNS records: Route 53 answers by them, SSM keeps them for the next stack update."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pm_core.contracts import TrafficContract, ZoneContract
from pm_cutover.aws.session import AwsSession
from pm_cutover.deadlines import wait_for
from pm_cutover.errors import RefusedError

INSYNC_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Shares of the traffic, 0-100 each.

    Attributes:
        source: Weight of the source environment's record.
        target: Weight of the target environment's record.
    """

    source: int
    target: int

    @classmethod
    def of_target(cls, percent: int) -> "Weights":
        """The weights that send ``percent`` of the traffic to the target."""
        return cls(source=100 - percent, target=percent)

    @property
    def target_percent(self) -> float:
        """Share of the traffic that the target gets."""
        total = self.source + self.target
        return 100.0 * self.target / total if total else 0.0

    def __str__(self) -> str:
        return f"{self.source}/{self.target}"


class Traffic:
    """Reads and writes the weights.

    Args:
        aws: Where.
        suffix: The deployment.
        zone: The zone and the weights' parameters.
        source: The source's record.
        target: The target's record.
    """

    def __init__(
        self, *, aws: AwsSession, suffix: str, zone: ZoneContract, source: TrafficContract, target: TrafficContract
    ) -> None:
        self._route53 = aws.client("route53")
        self._ssm = aws.client("ssm")
        self._zone = zone
        self._source_health_check = source.health_check_id
        self._identifiers = {"source": source.set_identifier, "target": target.set_identifier}
        self._parameters = {
            "source": ZoneContract.path(suffix, "source", "weight_source"),
            "target": ZoneContract.path(suffix, "source", "weight_target"),
        }

    @property
    def record_name(self) -> str:
        """The payment service's public name."""
        return self._zone.record_name

    @contextmanager
    def source_unchecked(self) -> Iterator[None]:
        """Nobody checks the source's health meanwhile: the checkers' requests would count like those of clients.

        A switched-off check counts as healthy, which changes nothing for a record of weight zero.
        """
        self._route53.update_health_check(HealthCheckId=self._source_health_check, Disabled=True)
        try:
            yield
        finally:
            self.check_source()

    def check_source(self) -> None:
        """Have the source's health checked; a killed `pm finish` may have left the check off."""
        self._route53.update_health_check(HealthCheckId=self._source_health_check, Disabled=False)

    def recorded(self) -> Weights:
        """The weights that Route 53 answers by.

        Raises:
            RefusedError: A record is missing.
        """
        records = self._records()
        return Weights(source=int(records["source"]["Weight"]), target=int(records["target"]["Weight"]))

    def kept(self) -> Weights:
        """The weights in SSM, which a stack update would write to the records."""
        names = list(self._parameters.values())
        found = {entry["Name"]: entry["Value"] for entry in self._ssm.get_parameters(Names=names)["Parameters"]}
        missing = [name for name in names if name not in found]
        if missing:
            raise RefusedError(f"SSM parameter {missing[0]} not found: deploy the zone stack")
        return Weights(source=int(found[self._parameters["source"]]), target=int(found[self._parameters["target"]]))

    def set(self, weights: Weights) -> bool:
        """Make both records and both parameters say ``weights``; waits until Route 53 serves them.

        Parameters first: a stack update in between then writes what was decided. Records in one change batch, with
        every other field as it is.

        Returns:
            Whether anything had to be changed.
        """
        changed = self._set_parameters(weights)
        records = self._records()
        changes = []
        for environment, weight in (("source", weights.source), ("target", weights.target)):
            record = records[environment]
            if int(record["Weight"]) != weight:
                changes.append({"Action": "UPSERT", "ResourceRecordSet": {**record, "Weight": weight}})
        if not changes:
            return changed
        answer = self._route53.change_resource_record_sets(
            HostedZoneId=self._zone.hosted_zone_id, ChangeBatch={"Comment": f"pm shift {weights}", "Changes": changes}
        )
        change = answer["ChangeInfo"]["Id"]
        wait_for(
            "Route 53 to serve the new weights",
            lambda: True if self._route53.get_change(Id=change)["ChangeInfo"]["Status"] == "INSYNC" else None,
            timeout_seconds=INSYNC_SECONDS,
            interval_seconds=1.0,
            advice=f"see change {change} in Route 53, then run again",
        )
        return True

    def _set_parameters(self, weights: Weights) -> bool:
        kept = self.kept()
        changed = False
        for environment, old, new in (("source", kept.source, weights.source), ("target", kept.target, weights.target)):
            if old != new:
                self._ssm.put_parameter(
                    Name=self._parameters[environment], Value=str(new), Type="String", Overwrite=True
                )
                changed = True
        return changed

    def _records(self) -> dict[str, dict[str, Any]]:
        name = self._zone.record_name.rstrip(".")
        records: dict[str, dict[str, Any]] = {}
        pages = self._route53.get_paginator("list_resource_record_sets").paginate(
            HostedZoneId=self._zone.hosted_zone_id, StartRecordName=name
        )
        for page in pages:
            for record in page["ResourceRecordSets"]:
                for environment, identifier in self._identifiers.items():
                    if record["Name"].rstrip(".") == name and record.get("SetIdentifier") == identifier:
                        records[environment] = record
            if len(records) == len(self._identifiers) or page["ResourceRecordSets"][-1:][0]["Name"].rstrip(".") != name:
                break
        for environment, identifier in self._identifiers.items():
            if environment not in records:
                raise RefusedError(
                    f"weighted record {name} ({identifier}) is not in zone {self._zone.zone_name}: "
                    f"deploy the {environment}'s traffic stack"
                )
        return records
