"""TLS on both sides of a load balancer, as AWS does it."""

import ssl
from functools import cache


def server_context(certificate_file: str) -> ssl.SSLContext:
    """For clients: TLS 1.2 or newer, with the listener's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate_file)
    return context


@cache
def target_context() -> ssl.SSLContext:
    """For targets, whose certificates nobody verifies. Source: Elastic Load Balancing user guide, "Target groups"."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
