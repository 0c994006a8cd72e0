"""Route 53 over UDP on 127.0.0.1: weighted and alias records, health checks, and the addresses of load balancers.

A load balancer's DNS name has the address 127.0.0.1, and as every load balancer listens on a port of its own, an SRV
record ``_http._tcp.<name>`` names it, for the load balancer's own name and for every name that leads to one. Names
outside the hosted zones are refused; routing policies other than simple and weighted answer NOTIMP.
"""

import logging
import random
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dnslib import QTYPE, RCODE, RR, DNSError, DNSRecord

from pm_rehearsal.cloud.balancing import Traffic, traffic_of
from pm_rehearsal.cloud.extension import Extension
from pm_rehearsal.cloud.health import HealthChecks, health_checks_of
from pm_rehearsal.cloud.settings import HOST, OccupiedPortError

ALIAS_SECONDS = 60  # rule 34: an alias record's TTL cannot be chosen
SERVICE_PREFIX = "_http._tcp."
CHAIN_LIMIT = 8
DATAGRAM_BYTES = 4096
_OTHER_POLICIES = ("Region", "Failover", "MultiValueAnswer", "GeoLocation", "CidrRoutingConfig")

log = logging.getLogger(__name__)

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response code and its records, as (name, TTL, type, value in zone file form)."""

    rcode: str = "NOERROR"
    records: tuple[tuple[str, int, str, str], ...] = ()


def install(extension: Extension) -> None:
    """Listen, and announce the address as ``dns``.

    Raises:
        OccupiedPortError: The port of ``--dns-port`` cannot be used.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        listener.bind((HOST, extension.dns_port))
    except OSError as error:
        listener.close()
        raise OccupiedPortError(
            port=extension.dns_port, option="--dns-port", reason=error.strerror or str(error)
        ) from error
    extension.announce("dns", f"{HOST}:{listener.getsockname()[1]}")
    server = _Server(listener, Zones(extension, traffic_of(extension), health_checks_of(extension)))
    extension.on_stop(server.stop)
    extension.background("dns", server.run)


class Zones:
    """Answers questions from Route 53's records as they are at that moment, of all accounts."""

    def __init__(self, extension: Extension, traffic: Traffic, checks: HealthChecks) -> None:
        self._route53 = extension.module("services.route53")
        self._traffic = traffic
        self._checks = checks

    def answer(self, name: str, kind: str) -> Answer:
        """The answer to one question.

        Args:
            name: Without regard to case; with or without its final dot.
            kind: ``A``, ``CNAME``, ``SRV`` and so on.
        """
        asked = _plain(name)
        if kind == "SRV" and asked.startswith(SERVICE_PREFIX) and not self._exists(asked):
            return self._service(asked)
        records: list[tuple[str, int, str, str]] = []
        current = asked
        for _ in range(CHAIN_LIMIT):
            if self._traffic.knows(current):
                if kind == "A":
                    records.append((current, ALIAS_SECONDS, "A", HOST))
                return Answer(records=tuple(records))
            found = self._record(current, kind)
            if isinstance(found, str):
                # What a chain leads to outside our zones is for the client to ask elsewhere.
                return Answer(records=tuple(records)) if records else Answer(rcode=found)
            if "AliasTarget" in found:
                target = self.answer(found["AliasTarget"]["DNSName"], kind)
                records += [(current, ttl, type_, value) for _, ttl, type_, value in target.records if type_ == kind]
                return Answer(records=tuple(records))
            values = [(current, int(found.get("TTL", 300)), found["Type"], value) for value in found["ResourceRecords"]]
            records += values
            if found["Type"] != "CNAME" or kind == "CNAME":
                return Answer(records=tuple(records))
            current = _plain(values[0][3])
        return Answer(rcode="SERVFAIL")

    def load_balancer(self, name: str) -> str | None:
        """The DNS name of the load balancer that a name leads to, drawn anew among weighted records."""
        current = _plain(name)
        for _ in range(CHAIN_LIMIT):
            if self._traffic.knows(current):
                return current
            found = self._record(current, "A")
            if isinstance(found, str):
                return None
            if "AliasTarget" in found:
                current = _plain(found["AliasTarget"]["DNSName"])
            elif found["Type"] == "CNAME":
                current = _plain(found["ResourceRecords"][0])
            else:
                return None
        return None

    def _service(self, asked: str) -> Answer:
        owner = asked.removeprefix(SERVICE_PREFIX)
        name = self.load_balancer(owner)
        if name is None:
            rcode = self._record(owner, "A")
            return Answer(rcode=rcode) if isinstance(rcode, str) else Answer()
        endpoint = self._traffic.endpoint(name)
        if endpoint is None:
            return Answer()
        return Answer(records=((asked, ALIAS_SECONDS, "SRV", f"0 0 {endpoint[1]} {name}."),))

    def _exists(self, name: str) -> bool:
        return any(_plain(record["Name"]) == name for record in self._zone(name) or ())

    def _record(self, name: str, kind: str) -> Record | str:
        """The record that answers, chosen by weight and health; else the response code that says why there is none."""
        zone = self._zone(name)
        if zone is None:
            return "REFUSED"
        named = [record for record in zone if _plain(record["Name"]) == name]
        if not named:
            below = any(_plain(record["Name"]).endswith("." + name) for record in zone)
            return "NOERROR" if below else "NXDOMAIN"
        typed = [record for record in named if record["Type"] in (kind, "CNAME")]
        if not typed:
            return "NOERROR"
        if any(policy in record for record in typed for policy in _OTHER_POLICIES):
            log.error("%s: only simple and weighted routing is answered by the embedded AWS", name)
            return "NOTIMP"
        return choose(typed, self._is_healthy) if "Weight" in typed[0] else typed[0]

    def _zone(self, name: str) -> Sequence[Record] | None:
        """The records of the longest hosted zone that the name is in."""
        zones = [
            (account, zone["id"], _plain(zone["name"]))
            for (account, _), zone in list(self._route53._zones._data.items())
        ]
        within = [zone for zone in zones if name == zone[2] or name.endswith("." + zone[2])]
        if not within:
            return None
        account, identity, _ = max(within, key=lambda zone: len(zone[2]))
        records: Sequence[Record] = self._route53._records._data.get((account, identity), ())
        return records

    def _is_healthy(self, record: Record) -> bool:
        check = record.get("HealthCheckId")
        if check and not self._checks.is_healthy(check):
            return False
        alias = record.get("AliasTarget")
        if alias and alias["EvaluateTargetHealth"] and self._traffic.knows(alias["DNSName"]):
            return self._traffic.serves(alias["DNSName"])
        return True


def choose(records: Sequence[Record], is_healthy: Callable[[Record], bool]) -> Record:
    """Draw one of several weighted records.

    Source: "How Amazon Route 53 chooses records when health checking is configured": healthy records with a weight
    above zero come first; when there is none, healthy ones of weight zero; when nothing is healthy, all count as
    healthy.
    """
    weighted = [record for record in records if record["Weight"] > 0]
    zero = [record for record in records if record["Weight"] == 0]
    for group in (weighted, zero):
        healthy = [record for record in group if is_healthy(record)]
        if healthy:
            return _draw(healthy)
    return _draw(weighted or zero)


def _draw(records: Sequence[Record]) -> Record:
    weights = [record["Weight"] or 1 for record in records]
    return random.choices(records, weights)[0]  # noqa: S311 - traffic is distributed, nothing is kept secret


class _Server:
    def __init__(self, listener: socket.socket, zones: Zones) -> None:
        self._listener = listener
        self._zones = zones
        self._stopped = False

    def run(self) -> None:
        while True:
            try:
                data, client = self._listener.recvfrom(DATAGRAM_BYTES)
            except OSError:
                if self._stopped:
                    return
                raise
            try:
                question = DNSRecord.parse(data)
            except DNSError:
                continue
            self._listener.sendto(self._reply(question), client)

    def stop(self) -> None:
        self._stopped = True
        self._listener.close()

    def _reply(self, question: DNSRecord) -> bytes:
        reply = question.reply(ra=0, aa=1)
        try:
            answer = self._zones.answer(str(question.q.qname), str(QTYPE[question.q.qtype]))
            for record in _zone_lines(answer.records):
                reply.add_answer(*RR.fromZone(record))
            reply.header.rcode = getattr(RCODE, answer.rcode)
        except Exception:  # one malformed record must not end the server
            log.exception("%s could not be answered", question.q.qname)
            reply.header.rcode = RCODE.SERVFAIL
        packed: bytes = reply.pack()
        return packed


def _zone_lines(records: Iterable[tuple[str, int, str, str]]) -> Iterable[str]:
    return (f"{name}. {ttl} IN {kind} {_absolute(kind, value)}" for name, ttl, kind, value in records)


def _absolute(kind: str, value: str) -> str:
    return value if kind != "CNAME" or value.endswith(".") else value + "."


def _plain(name: str) -> str:
    return name.rstrip(".").lower()
