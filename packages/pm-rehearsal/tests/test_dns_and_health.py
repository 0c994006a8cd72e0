"""Weighted names, load balancers' addresses and health checks, asked over UDP."""

import asyncio
import http.client
import socket
import time
from collections import Counter

import pytest
from dnslib import RCODE, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from pm_rehearsal.cloud.dns import choose
from pm_rehearsal.cloud.launch import CloudStartError, EmbeddedCloud
from pm_rehearsal.resolver import ResolveError, Resolver

NAME = "pay.example.net"
SECONDS = 20.0


@pytest.fixture(scope="module")
def cloud():
    with EmbeddedCloud() as cloud:
        yield cloud


@pytest.fixture
def zone(cloud):
    yield Zone(cloud)
    cloud.reset()


class Zone:
    """A zone, and two load balancers that answer by themselves."""

    def __init__(self, cloud):
        self.cloud = cloud
        self.elb, self.route53 = cloud.client("elbv2"), cloud.client("route53")
        answer = self.route53.create_hosted_zone(Name="example.net", CallerReference=str(time.time()))
        self.identity = answer["HostedZone"]["Id"]
        self.listeners = {}
        self.balancers = {name: self._balancer(name) for name in ("source", "target")}

    def _balancer(self, name):
        made = self.elb.create_load_balancer(Name=name, Subnets=["subnet-1"])["LoadBalancers"][0]
        self.listeners[name] = self.elb.create_listener(
            LoadBalancerArn=made["LoadBalancerArn"], Port=80, Protocol="HTTP", DefaultActions=[response(200)]
        )["Listeners"][0]["ListenerArn"]
        return made["DNSName"]

    def answer_with(self, name, status):
        self.elb.modify_listener(ListenerArn=self.listeners[name], DefaultActions=[response(status)])

    def record(self, name, weight, *, health_check="", ttl=7, **other):
        record = {
            "Name": NAME,
            "Type": "CNAME",
            "SetIdentifier": name,
            "Weight": weight,
            "TTL": ttl,
            "ResourceRecords": [{"Value": self.balancers[name]}],
            **other,
        }
        if health_check:
            record["HealthCheckId"] = health_check
        if "AliasTarget" in record:
            del record["TTL"], record["ResourceRecords"]
        self.upsert(record)

    def upsert(self, record):
        changes = [{"Action": "UPSERT", "ResourceRecordSet": record}]
        self.route53.change_resource_record_sets(HostedZoneId=self.identity, ChangeBatch={"Changes": changes})

    def check(self, name):
        config = {
            "Type": "HTTP",
            "FullyQualifiedDomainName": self.balancers[name],
            "Port": 80,
            "ResourcePath": "/health",
            "RequestInterval": 10,
            "FailureThreshold": 1,
        }
        made = self.route53.create_health_check(CallerReference=str(time.time()), HealthCheckConfig=config)
        return made["HealthCheck"]["Id"]

    def status(self, check):
        answer = self.route53.get_health_check_status(HealthCheckId=check)
        return answer["HealthCheckObservations"][0]["StatusReport"]["Status"]

    def statuses(self, check):
        points = self.cloud.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/Route53",
            MetricName="HealthCheckStatus",
            Dimensions=[{"Name": "HealthCheckId", "Value": check}],
            StartTime=time.time() - 300,
            EndTime=time.time() + 60,
            Period=60,
            Statistics=["Minimum", "Maximum"],
        )["Datapoints"]
        return {point[statistic] for point in points for statistic in ("Minimum", "Maximum")}

    def draw(self, count=1):
        async def ask():
            resolver = Resolver(self.cloud.dns)
            return [await resolver.resolve(NAME) for _ in range(count)]

        return asyncio.run(ask())

    def share(self, count):
        by_name = {dns_name.lower(): name for name, dns_name in self.balancers.items()}
        return Counter(by_name[endpoint.canonical_name] for endpoint in self.draw(count))


def response(status):
    return {
        "Type": "fixed-response",
        "FixedResponseConfig": {"StatusCode": str(status), "ContentType": "text/plain", "MessageBody": "x"},
    }


def status_of(endpoint):
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=5)
    connection.request("GET", "/")
    status = connection.getresponse().status
    connection.close()
    return status


def until(condition):
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            if condition():
                return
        except ResolveError:
            assert time.monotonic() < deadline
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ask(cloud, name, kind):
    host, _, port = cloud.dns.partition(":")
    return DNSRecord.parse(DNSRecord.question(name, kind).send(host, int(port), timeout=5))


def test_equal_weights_share_and_the_port_is_the_load_balancers(zone):
    zone.record("source", 50)
    zone.record("target", 50)
    until(lambda: len(zone.share(20)) == 2)
    share = zone.share(200)
    assert 70 <= share["source"] <= 130, share
    endpoint = zone.draw()[0]
    assert (endpoint.name, endpoint.host, endpoint.ttl_seconds) == (NAME, "127.0.0.1", 7)
    with socket.create_connection((endpoint.host, endpoint.port), 5) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_a_shift_is_seen_by_the_next_question(zone):
    zone.record("source", 100)
    zone.record("target", 0)
    until(lambda: zone.draw())
    assert zone.share(20) == {"source": 20}
    zone.record("source", 0)
    zone.record("target", 100)
    until(lambda: zone.draw())
    assert zone.share(20) == {"target": 20}


def test_a_failing_health_check_moves_everything_even_to_weight_zero(zone):
    check = zone.check("source")
    zone.record("source", 100, health_check=check)
    zone.record("target", 0)
    until(lambda: zone.status(check).startswith("Success: HTTP Status Code 200"))
    assert zone.share(10) == {"source": 10}
    zone.answer_with("source", 503)
    address = zone.draw()[0]
    until(lambda: status_of(address) == 503)
    # A changed check looks at once; otherwise the shortest interval is 10 s.
    zone.route53.update_health_check(HealthCheckId=check, ResourcePath="/changed")
    until(lambda: zone.status(check).startswith("Failure: HTTP Status Code 503"))
    assert zone.share(10) == {"target": 10}
    until(lambda: zone.statuses(check) == {0, 1})


def test_alias_records_lead_to_the_load_balancer_with_their_fixed_ttl(zone):
    for name, weight in (("source", 0), ("target", 1)):
        alias = {"HostedZoneId": "Z35SXDOTRQ7X7K", "DNSName": zone.balancers[name], "EvaluateTargetHealth": False}
        zone.record(name, weight, Type="A", AliasTarget=alias)
    until(lambda: zone.draw())
    endpoint = zone.draw()[0]
    assert endpoint.canonical_name == zone.balancers["target"].lower()
    assert endpoint.ttl_seconds == 60


def test_answers_outside_and_beside_the_zone_are_truthful(zone):
    zone.upsert({"Name": "a.b.example.net", "Type": "TXT", "TTL": 5, "ResourceRecords": [{"Value": '"hello"'}]})
    assert ask(zone.cloud, "www.example.org", "A").header.rcode == RCODE.REFUSED
    assert ask(zone.cloud, "nothing.example.net", "A").header.rcode == RCODE.NXDOMAIN
    assert ask(zone.cloud, "b.example.net", "A").header.rcode == RCODE.NOERROR
    assert ask(zone.cloud, "a.b.example.net", "A").rr == []
    assert str(ask(zone.cloud, "A.B.example.net", "TXT").rr[0].rdata) == '"hello"'
    assert ask(zone.cloud, "_http._tcp.nothing.example.net", "SRV").header.rcode == RCODE.NXDOMAIN
    with pytest.raises(ResolveError, match=r"nothing\.example\.net A: the server answered NXDOMAIN"):
        asyncio.run(Resolver(zone.cloud.dns).resolve("nothing.example.net"))


def test_a_silent_server_is_an_error_with_its_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        with pytest.raises(ResolveError, match=f"no answer for {NAME} A from 127.0.0.1:{port}"):
            asyncio.run(Resolver(f"127.0.0.1:{port}").resolve(NAME))


def test_an_occupied_dns_port_is_named():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        with pytest.raises(CloudStartError, match=f"port {port} .*--dns-port") as error:
            EmbeddedCloud(dns_port=port).start()
        assert error.value.exit_code == 2


@given(records=st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=5))
def test_unhealthy_records_are_drawn_only_when_nothing_is_healthy(records):
    sets = [{"Weight": weight, "healthy": healthy} for weight, healthy in records]
    chosen = choose(sets, lambda record: record["healthy"])
    healthy = [record for record in sets if record["healthy"]]
    if healthy:
        assert chosen["healthy"]
    weighted = [record for record in (healthy or sets) if record["Weight"]]
    assert chosen["Weight"] > 0 or not weighted
