"""The balancer process with real targets, without the rest of the embedded AWS."""

import http.client
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import pm_postgres
from pm_rehearsal.cloud.balancer import (
    Configuration,
    FixedResponse,
    Forward,
    HealthCheck,
    Listener,
    Redirect,
    Rule,
    Target,
    TargetGroup,
)

TINY_SERVER = Path(__file__).with_name("tiny_server.py")
GROUP = "group"
SECONDS = 10.0


class Balancer:
    def __init__(self):
        self.process = pm_postgres.spawn(
            [sys.executable, "-m", "pm_rehearsal.cloud.balancer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.reports = queue.Queue()
        self.states = {}
        self.counters = []
        self.drained = []
        self.port = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            report = json.loads(line)
            if report["type"] == "health":
                self.states[report["target"]] = report["state"]
            elif report["type"] == "listening":
                self.port = report["ports"].get("listener", 0)
            elif report["type"] == "drained":
                self.drained.append(report["target"])
            else:
                self.counters.append(report)
            self.reports.put(report["type"])

    def configure(self, configuration):
        self.process.stdin.write(configuration.to_line())
        self.process.stdin.flush()
        self.wait(lambda: self.reports.get(timeout=SECONDS) == "listening")

    def wait(self, condition):
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, (self.states, self.drained)
            time.sleep(0.01)

    def request(self, method="GET", path="/", *, connection=None, **arguments):
        own = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        own.request(method, path, **arguments)
        answer = own.getresponse()
        body = answer.read()
        if connection is None:
            own.close()
        return answer, body

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(SECONDS) == 0


@pytest.fixture
def balancer():
    balancer = Balancer()
    yield balancer
    balancer.close()


@contextmanager
def tiny_server(**environment):
    port = pm_postgres.free_port()
    process = pm_postgres.spawn(
        [sys.executable, str(TINY_SERVER)],
        env={**os.environ, "PORT": str(port), **environment},
        stdout=subprocess.DEVNULL,
    )
    try:
        yield Target(host="127.0.0.1", port=port), process
    finally:
        process.kill()
        process.wait()


FORWARD = (Rule(action=Forward(group=GROUP)),)


def configuration(*targets, rules=FORWARD, **settings):
    check = HealthCheck(path="/health", interval_seconds=0.1, timeout_seconds=1, healthy_threshold=2)
    return Configuration(
        listeners=(Listener(arn="listener", port=80, rules=rules),),
        groups=(TargetGroup(arn=GROUP, targets=targets, health_check=check),),
        **settings,
    )


def test_requests_go_round_the_healthy_targets_and_back(balancer):
    with tiny_server(NAME="a") as (a, _), tiny_server(NAME="b") as (b, _):
        balancer.configure(configuration(a, b))
        balancer.wait(lambda: list(balancer.states.values()) == ["healthy"] * 2)
        connection = http.client.HTTPConnection("127.0.0.1", balancer.port)
        names = []
        for number in range(10):
            answer, body = balancer.request("POST", f"/p?n={number}", body=f"body {number}", connection=connection)
            seen = json.loads(body)
            assert (answer.status, seen["target"], seen["body"]) == (200, f"/p?n={number}", f"body {number}")
            assert seen["fields"]["x-forwarded-for"] == "127.0.0.1"
            assert seen["fields"]["x-forwarded-port"] == "80"
            assert seen["fields"]["x-amzn-trace-id"].startswith("root=1-")
            names.append(seen["name"])
        assert names.count("a") == names.count("b") == 5


def test_chunked_and_pipelined_requests_are_served_in_order(balancer):
    with tiny_server() as (target, _):
        balancer.configure(configuration(target))
        balancer.wait(lambda: balancer.states)
        with socket.create_connection(("127.0.0.1", balancer.port), SECONDS) as client:
            one = b"GET /first HTTP/1.1\r\nHost: h\r\n\r\n"
            client.sendall(one + b"GET /second HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            data = b""
            while part := client.recv(65536):
                data += part
        assert data.index(b'"/first"') < data.index(b'"/second"')
        assert data.count(b"HTTP/1.1 200") == 2


def test_a_target_that_breaks_gets_nothing_until_it_recovers(balancer):
    with tiny_server(NAME="a") as (a, _), tiny_server(NAME="b") as (b, _):
        balancer.configure(configuration(a, b))
        balancer.wait(lambda: list(balancer.states.values()) == ["healthy"] * 2)
        own = http.client.HTTPConnection("127.0.0.1", a.port)
        balancer.request(path="/break", connection=own)
        balancer.wait(lambda: balancer.states[a.key] == "unhealthy")
        assert {json.loads(balancer.request()[1])["name"] for _ in range(6)} == {"b"}
        balancer.request(path="/mend", connection=own)
        balancer.wait(lambda: balancer.states[a.key] == "healthy")
        assert {json.loads(balancer.request()[1])["name"] for _ in range(6)} == {"a", "b"}


def test_a_draining_target_ends_its_requests_and_gets_no_new_ones(balancer):
    with tiny_server(NAME="a") as (a, _), tiny_server(NAME="b") as (b, _):
        balancer.configure(configuration(a))
        balancer.wait(lambda: balancer.states)
        slow = []
        thread = threading.Thread(target=lambda: slow.append(balancer.request(path="/slow?0.5")))
        thread.start()
        time.sleep(0.1)
        balancer.configure(configuration(replace(a, draining=True), b))
        balancer.wait(lambda: balancer.states.get(b.key) == "healthy")
        assert {json.loads(balancer.request()[1])["name"] for _ in range(4)} == {"b"}
        assert balancer.drained == []
        thread.join()
        assert slow[0][0].status == 200
        balancer.wait(lambda: balancer.drained == [a.key])


def test_a_killed_target_is_skipped_before_a_health_check_notices(balancer):
    slow_check = HealthCheck(path="/health", interval_seconds=60)
    with tiny_server(NAME="a") as (a, process), tiny_server(NAME="b") as (b, _):
        settings = configuration(a, b)
        balancer.configure(replace(settings, groups=(replace(settings.groups[0], health_check=slow_check),)))
        balancer.wait(lambda: list(balancer.states.values()) == ["healthy"] * 2)
        for _ in range(4):
            balancer.request()
        process.kill()
        process.wait()
        assert [balancer.request("POST", body="x")[0].status for _ in range(10)] == [200] * 10
        balancer.wait(lambda: any(r["groups"].get(GROUP, {}).get("connection_errors") for r in balancer.counters))


def test_no_target_is_503_and_a_refusing_one_502(balancer):
    balancer.configure(configuration())
    assert balancer.request()[0].status == 503
    nobody = Target(host="127.0.0.1", port=pm_postgres.free_port())
    balancer.configure(configuration(nobody))
    balancer.wait(lambda: balancer.states.get(nobody.key) == "unhealthy")
    answer, body = balancer.request()
    assert answer.status == 502  # as on AWS: when all are unhealthy, all get requests
    assert answer.getheader("Server") == "awselb/2.0"
    assert b"502 Bad Gateway" in body
    balancer.wait(lambda: any(report["balancer"].get("502") for report in balancer.counters))


def test_a_silent_target_is_504(balancer):
    with tiny_server() as (target, _):
        balancer.configure(configuration(target, idle_timeout_seconds=0.5))
        balancer.wait(lambda: balancer.states)
        assert balancer.request(path="/slow?5")[0].status == 504


def test_old_client_connections_are_closed_after_an_answer(balancer):
    with tiny_server() as (target, _):
        balancer.configure(configuration(target, keep_alive_seconds=0.2))
        balancer.wait(lambda: balancer.states)
        connection = http.client.HTTPConnection("127.0.0.1", balancer.port)
        assert balancer.request(connection=connection)[0].getheader("Connection") is None
        time.sleep(0.3)
        assert balancer.request(connection=connection)[0].getheader("Connection") == "close"


def test_rules_decide_in_order(balancer):
    rules = (
        Rule(action=FixedResponse(status=200, body="fixed"), paths=("/fixed/*",)),
        Rule(action=Redirect(status=301, protocol="HTTPS", port="443"), hosts=("old.*",), methods=("GET",)),
        Rule(action=FixedResponse(status=404, body="nothing here")),
    )
    balancer.configure(configuration(rules=rules))
    assert balancer.request(path="/fixed/1")[1] == b"fixed"
    answer, _ = balancer.request(path="/a?b=1", headers={"Host": "old.example:80"})
    assert (answer.status, answer.getheader("Location")) == (301, "https://old.example:443/a?b=1")
    assert balancer.request("POST", "/a", headers={"Host": "old.example"})[0].status == 404


def test_nonsense_is_400_and_the_connection_ends(balancer):
    balancer.configure(configuration())
    with socket.create_connection(("127.0.0.1", balancer.port), SECONDS) as client:
        client.sendall(b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
        data = b""
        while part := client.recv(65536):
            data += part
    assert data.startswith(b"HTTP/1.1 400")


def test_end_of_input_ends_the_process(balancer):
    balancer.configure(configuration())
    port = balancer.port
    balancer.process.stdin.close()
    assert balancer.process.wait(SECONDS) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
