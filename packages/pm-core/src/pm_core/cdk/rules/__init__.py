"""What the aspects ask of a resource, as pure functions over its type and properties.

A rule never sees a construct: the aspects hand it what the template would say.
"""

from pm_core.cdk.rules.at_rest import SSE_S3_EXEMPTION, concerns_rest, unencrypted_at_rest
from pm_core.cdk.rules.in_transit import concerns_transit, unencrypted_in_transit
from pm_core.cdk.rules.lifetime import concerns_lifetime, undying
from pm_core.cdk.rules.resource import Neighbours, Resource

__all__ = [
    "Neighbours",
    "Resource",
    "SSE_S3_EXEMPTION",
    "concerns_lifetime",
    "concerns_rest",
    "concerns_transit",
    "undying",
    "unencrypted_at_rest",
    "unencrypted_in_transit",
]
