"""PaymentZone and WeightedEndpoint: Route 53 weighted routing between the environments."""

from pm_traffic.endpoint import WeightedEndpoint, WeightedEndpointProps
from pm_traffic.zone import PaymentZone, PaymentZoneProps, ZonePropsError

__all__ = ["PaymentZone", "PaymentZoneProps", "ZonePropsError", "WeightedEndpoint", "WeightedEndpointProps"]
