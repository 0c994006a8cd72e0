"""A client's view of the embedded DNS: which environment a weighted name leads to now, and on which port it listens.

On AWS a client asks for the address of a name and uses the well-known port. Here every load balancer is on 127.0.0.1,
each with a port of its own, so a client follows the name to its load balancer and asks for that one's port with an SRV
query ``_http._tcp.<load balancer's DNS name>`` (RFC 2782).
"""

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any

from dnslib import CLASS, QTYPE, RCODE, DNSError, DNSHeader, DNSQuestion, DNSRecord

ANSWER_SECONDS = 1.0
ATTEMPTS = 3
CHAIN_LIMIT = 8


class ResolveError(RuntimeError):
    """A name leads nowhere; the message holds the name and the server's answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where to send a request for a name.

    Attributes:
        name: What was asked for, without the final dot.
        canonical_name: The end of its CNAME chain: a load balancer's DNS name. Tells the environments apart.
        host: IPv4 address.
        port: TCP port of the load balancer's first HTTP listener.
        ttl_seconds: How long this answer may be used: the smallest of the answers that led here.
    """

    name: str
    canonical_name: str
    host: str
    port: int
    ttl_seconds: int


class Resolver:
    """Asks one DNS server; keeps nothing, so each call is a new draw among weighted records.

    Args:
        dns_address: ``host:port`` of the server's UDP socket, as ``EmbeddedCloud.dns`` gives it.
    """

    def __init__(self, dns_address: str) -> None:
        host, _, port = dns_address.rpartition(":")
        self._dns_address = (host, int(port))

    async def resolve(self, name: str) -> Endpoint:
        """Where ``name`` leads now.

        Raises:
            ResolveError: The server did not answer, knows no such name, or the name ends at no HTTP listener.
        """
        asked = name.rstrip(".").lower()
        answer = await self._ask(asked, "A")
        canonical, ttl = asked, None
        aliases = {_plain(record.rname): record for record in answer if record.rtype == QTYPE.CNAME}
        for _ in range(CHAIN_LIMIT):
            if (alias := aliases.get(canonical)) is None:
                break
            canonical, ttl = _plain(alias.rdata.label), _shorter(ttl, alias.ttl)
        address = next((r for r in answer if r.rtype == QTYPE.A and _plain(r.rname) == canonical), None)
        if address is None:
            raise ResolveError(f"{asked} ends at {canonical}, which has no address: point it at a load balancer")
        ttl = _shorter(ttl, address.ttl)
        service = next((r for r in await self._ask(f"_http._tcp.{canonical}", "SRV") if r.rtype == QTYPE.SRV), None)
        if service is None:
            raise ResolveError(f"{canonical} names no port: its load balancer has no HTTP listener")
        return Endpoint(
            name=asked,
            canonical_name=_plain(service.rdata.target),
            host=str(address.rdata),
            port=service.rdata.port,
            ttl_seconds=_shorter(ttl, service.ttl),
        )

    async def _ask(self, name: str, kind: str) -> list[Any]:
        query = DNSRecord(DNSHeader(id=secrets.randbelow(1 << 16), rd=0))
        query.add_question(DNSQuestion(name, getattr(QTYPE, kind), CLASS.IN))
        for _ in range(ATTEMPTS):
            reply = await self._exchange(query.pack(), query.header.id)
            if reply is not None:
                break
        else:
            address = "{}:{}".format(*self._dns_address)
            raise ResolveError(f"no answer for {name} {kind} from {address} within {ANSWER_SECONDS * ATTEMPTS:g} s")
        if reply.header.rcode != RCODE.NOERROR:
            raise ResolveError(f"{name} {kind}: the server answered {RCODE[reply.header.rcode]}")
        return list(reply.rr)

    async def _exchange(self, query: bytes, identity: int) -> DNSRecord | None:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(
            lambda: _Exchange(identity, loop.create_future()), remote_addr=self._dns_address
        )
        try:
            transport.sendto(query)
            return await asyncio.wait_for(protocol.reply, ANSWER_SECONDS)
        except (TimeoutError, OSError):
            return None
        finally:
            transport.close()


class _Exchange(asyncio.DatagramProtocol):
    """One question; resolves ``reply`` with the first datagram that answers it."""

    def __init__(self, identity: int, reply: "asyncio.Future[DNSRecord]") -> None:
        self.identity = identity
        self.reply = reply

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:  # noqa: ARG002 - asyncio names it
        try:
            record = DNSRecord.parse(data)
        except DNSError:
            return
        if record.header.id == self.identity and not self.reply.done():
            self.reply.set_result(record)

    def error_received(self, exc: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(exc)


def _plain(name: object) -> str:
    return str(name).rstrip(".").lower()


def _shorter(ttl: int | None, other: int) -> int:
    return other if ttl is None else min(ttl, other)
