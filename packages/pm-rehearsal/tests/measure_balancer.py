"""What the balancer costs: CPU per request, and latency with and without it. Not a test; run as a script.

python packages/pm-rehearsal/tests/measure_balancer.py [requests per second] [seconds]
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import aiohttp

import pm_postgres
from pm_rehearsal.cloud.balancer import Configuration, Forward, HealthCheck, Listener, Rule, Target, TargetGroup

TINY_SERVER = Path(__file__).with_name("tiny_server.py")
BODY = b'{"idempotency_key":"00000000-0000-0000-0000-000000000000","account_id":1,"amount":"12.34","currency":"EUR"}'


def main(rate: int, seconds: float) -> None:
    ports = [pm_postgres.free_port() for _ in range(2)]
    for port in ports:
        variables = {**os.environ, "PORT": str(port)}
        pm_postgres.spawn([sys.executable, str(TINY_SERVER)], env=variables, stdout=subprocess.DEVNULL)
    balancer = pm_postgres.spawn(
        [sys.executable, "-m", "pm_rehearsal.cloud.balancer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    group = TargetGroup(
        arn="group",
        targets=tuple(Target(host="127.0.0.1", port=port) for port in ports),
        health_check=HealthCheck(path="/health", interval_seconds=5),
    )
    listener = Listener(arn="listener", port=80, rules=(Rule(action=Forward(group="group")),))
    balancer.stdin.write(Configuration(listeners=(listener,), groups=(group,)).to_line())
    balancer.stdin.flush()
    port, healthy = 0, 0
    while healthy < len(ports):
        report = json.loads(balancer.stdout.readline())
        port = report["ports"]["listener"] if report["type"] == "listening" else port
        healthy += report["type"] == "health"
    report_latencies("direct ", asyncio.run(load(ports[0], rate, seconds)))
    before = cpu_seconds(balancer.pid)
    latencies = asyncio.run(load(port, rate, seconds))
    report_latencies("through", latencies)
    print(f"balancer: {(cpu_seconds(balancer.pid) - before) * 1000 / len(latencies):.3f} ms of CPU per request")


def report_latencies(name: str, latencies: list[float]) -> None:
    ordered = sorted(latencies)
    print(
        f"{name} {len(ordered)} requests: median {statistics.median(ordered):.2f} ms, "
        f"99 % below {ordered[int(len(ordered) * 0.99)]:.2f} ms"
    )


async def load(port: int, rate: int, seconds: float) -> list[float]:
    latencies: list[float] = []

    async def request(session: aiohttp.ClientSession) -> None:
        started = time.perf_counter()
        async with session.post(f"http://127.0.0.1:{port}/payments", data=BODY) as answer:
            await answer.read()
            answer.raise_for_status()
        latencies.append((time.perf_counter() - started) * 1000)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
                group.create_task(request(session))
    return latencies


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(int(given[0]) if given else 500, float(given[1]) if len(given) > 1 else 10.0)
