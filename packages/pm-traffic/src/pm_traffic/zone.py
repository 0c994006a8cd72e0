"""The DNS zone that both environments share."""

from dataclasses import dataclass

from aws_cdk import aws_route53 as route53
from constructs import Construct

from pm_core import ZoneContract
from pm_core.cdk import CustomerKey
from pm_traffic.emptied_zone import EmptiedZone

# All traffic goes to the source until `pm shift` writes other weights.
INITIAL_WEIGHT_SOURCE = "100"
INITIAL_WEIGHT_TARGET = "0"


class ZonePropsError(ValueError):
    """Props that Route 53 would refuse; the message says what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentZoneProps:
    """What the zone needs to know.

    Attributes:
        environment: The environment whose app owns the zone.
        suffix: The deployment's environmentSuffix.
        zone_name: The public zone, for example ``payments.acme.com``.
        record_name: The payment service's name, inside the zone.
        hosted_zone_id: An existing zone, which is used and never deleted; None makes one.
        log_retention_days: Retention of the log of the function that empties the zone.

    Raises:
        ZonePropsError: The record lies outside the zone.
    """

    environment: str
    suffix: str
    zone_name: str
    record_name: str
    hosted_zone_id: str | None = None
    log_retention_days: int = 30

    def __post_init__(self) -> None:
        if not self.record_name.endswith(f".{self.zone_name}"):
            raise ZonePropsError(f"record_name {self.record_name!r} must end with .{self.zone_name}")


class PaymentZone(Construct):
    """A public hosted zone, made here or imported.

    Attributes:
        zone: The zone.
        name_servers: Where to delegate the zone to; None for an imported one, which is delegated already.
        contract: What the zone tier publishes. The weights in it are only the initial ones: they are run-time state.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: PaymentZoneProps) -> None:
        super().__init__(scope, construct_id)
        self.zone: route53.IHostedZone
        if props.hosted_zone_id is None:
            self.zone = route53.PublicHostedZone(
                self,
                "Zone",
                zone_name=props.zone_name,
                comment="Payment service, weighted between two environments",
            )
            EmptiedZone(
                self,
                "Emptied",
                zone=self.zone,
                environment=props.environment,
                suffix=props.suffix,
                key=CustomerKey(
                    self,
                    "Key",
                    environment=props.environment,
                    suffix=props.suffix,
                    qualifier="zone",
                    description="Log of the function that empties the zone",
                ),
                log_retention_days=props.log_retention_days,
            )
        else:
            self.zone = route53.PublicHostedZone.from_public_hosted_zone_attributes(
                self, "Zone", hosted_zone_id=props.hosted_zone_id, zone_name=props.zone_name
            )
        self.name_servers = self.zone.hosted_zone_name_servers
        self.contract = ZoneContract(
            hosted_zone_id=self.zone.hosted_zone_id,
            zone_name=props.zone_name,
            record_name=props.record_name,
            weight_source=INITIAL_WEIGHT_SOURCE,
            weight_target=INITIAL_WEIGHT_TARGET,
        )
