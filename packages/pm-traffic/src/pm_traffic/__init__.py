"""The payment service's name: zone, certificate, and one weighted record per environment."""

from pm_traffic.certificate import PaymentCertificate, PaymentCertificateProps
from pm_traffic.emptied_zone import EmptiedZone
from pm_traffic.endpoint import WeightedEndpoint, WeightedEndpointProps
from pm_traffic.kept_weight import KeptWeight, KeptWeightProps
from pm_traffic.zone import PaymentZone, PaymentZoneProps, ZonePropsError

__all__ = [
    "EmptiedZone",
    "KeptWeight",
    "KeptWeightProps",
    "PaymentCertificate",
    "PaymentCertificateProps",
    "PaymentZone",
    "PaymentZoneProps",
    "WeightedEndpoint",
    "WeightedEndpointProps",
    "ZonePropsError",
]
