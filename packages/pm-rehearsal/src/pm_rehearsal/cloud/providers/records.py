"""AWS::Route53::RecordSet: deleted only while Route 53 has what CloudFormation deployed last.

Route 53 deletes a record when every value of the request is the record's, and refuses otherwise. CloudFormation takes
that refusal for "gone already": its event says DELETE_COMPLETE, and the record stays.
"""

import logging

from pm_rehearsal.cloud.extension import DeleteHandler, Extension, Properties

log = logging.getLogger(__name__)


def install(extension: Extension) -> None:
    """Wrap the type."""
    records = _Records(extension)
    extension.wrap("AWS::Route53::RecordSet", delete=records.delete)


class _Records:
    def __init__(self, extension: Extension) -> None:
        self._provisioners = extension.module("services.cloudformation.provisioners")
        self._route53 = extension.module("services.route53")

    def delete(self, original: DeleteHandler, physical_id: str, properties: Properties) -> None:
        zone = self._provisioners._r53_resolve_hosted_zone_id(properties)
        deployed = self._provisioners._r53_record_set_build_rs(properties)
        key, values = self._route53._rs_key, self._route53._rs_values
        for live in self._route53._records.get(zone, ()):
            if key(live) == key(deployed) and values(live) != values(deployed):
                log.info("%s stays: it is not what was deployed", key(live))
                return
        original(physical_id, properties)
