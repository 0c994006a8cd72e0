"""The balancer process: configurations in on standard input, findings out on standard output, both JSON lines.

Reports, told apart by ``type``:

- ``listening``: ``ports`` maps each listener's ARN to its port on 127.0.0.1; one after each configuration.
- ``health``: ``group``, ``target`` (host:port), ``state``, ``reason``, ``description``; at each change.
- ``drained``: ``group``, ``target``; a draining target has no request under way any more.
- ``counters``: each second in which something happened: ``groups`` by ARN, ``balancer`` answers of its own by status.

End of file on standard input ends the process.
"""

import asyncio
import json
import signal
import sys
import time
from typing import Any

from pm_rehearsal.cloud.balancer.checks import Checker, Finding
from pm_rehearsal.cloud.balancer.configuration import Configuration, Listener
from pm_rehearsal.cloud.balancer.proxy import Frontend, client_factory
from pm_rehearsal.cloud.balancer.targets import Group, Member
from pm_rehearsal.cloud.balancer.tls import server_context

HOST = "127.0.0.1"
REPORT_SECONDS = 1.0
BACKLOG = 1024
LINE_LIMIT_BYTES = 4 * 1024 * 1024


class Balancer:
    """Everything that one process serves."""

    def __init__(self) -> None:
        self.frontends: dict[str, Frontend] = {}
        self.groups: dict[str, Group] = {}
        self.settings = Configuration()
        self._checks: dict[Member, asyncio.Task[None]] = {}

    async def configure(self, settings: Configuration) -> None:
        """Make reality what the configuration says."""
        self.settings = settings
        for arn in set(self.groups) - {group.arn for group in settings.groups}:
            self.groups.pop(arn)
        for wanted in settings.groups:
            group = self.groups.setdefault(wanted.arn, Group(wanted.arn, self._drained))
            group.configure(wanted)
        self._arrange_checks()
        for arn in set(self.frontends) - {listener.arn for listener in settings.listeners}:
            self._close(self.frontends.pop(arn))
        for listener in settings.listeners:
            await self._listen(listener)
        _report("listening", ports={arn: frontend_port(frontend) for arn, frontend in self.frontends.items()})

    async def tick(self) -> None:
        """Report counters and close what is silent, each second."""
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            now = time.monotonic()
            for frontend in self.frontends.values():
                frontend.sweep(now)
            for group in self.groups.values():
                for member in group.members.values():
                    member.sweep(now - self.settings.idle_timeout_seconds)
            self._report_counters()

    async def _listen(self, listener: Listener) -> None:
        frontend = self.frontends.get(listener.arn)
        if frontend is None:
            frontend = Frontend(listener, self.settings, self.groups)
            frontend.server = await self._bind(frontend, listener)
            self.frontends[listener.arn] = frontend
        frontend.listener, frontend.settings = listener, self.settings

    async def _bind(self, frontend: Frontend, listener: Listener) -> asyncio.Server:
        loop, port = asyncio.get_running_loop(), listener.bind_port
        tls = server_context(listener.certificate_file) if listener.protocol == "HTTPS" else None
        try:
            return await loop.create_server(client_factory(frontend), HOST, port, backlog=BACKLOG, ssl=tls)
        except OSError:
            if port == 0:
                raise
        # Somebody took the port while this balancer was being started again.
        return await loop.create_server(client_factory(frontend), HOST, 0, backlog=BACKLOG, ssl=tls)

    def _close(self, frontend: Frontend) -> None:
        if frontend.server is not None:
            frontend.server.close()
            frontend.server = None  # open connections end with their current answer

    def _arrange_checks(self) -> None:
        members = {
            member: group
            for group in self.groups.values()
            for member in group.members.values()
            if group.settings.health_check.enabled
        }
        for member in set(self._checks) - set(members):
            self._checks.pop(member).cancel()
        for member, group in members.items():
            if member not in self._checks:
                checker = Checker(group, member, _changed)
                self._checks[member] = asyncio.get_running_loop().create_task(checker.run())

    def _drained(self, group: Group, member: Member) -> None:
        _report("drained", group=group.arn, target=member.target.key)

    def _report_counters(self) -> None:
        groups = {arn: counted for arn, group in self.groups.items() if (counted := group.counters.take())}
        answers: dict[int, int] = {}
        for frontend in self.frontends.values():
            for status, count in frontend.answered_itself.items():
                answers[status] = answers.get(status, 0) + count
            frontend.answered_itself.clear()
        if groups or answers:
            _report("counters", groups=groups, balancer={str(status): count for status, count in answers.items()})


def frontend_port(frontend: Frontend) -> int:
    """The port that the listener is really on."""
    assert frontend.server is not None  # noqa: S101 - it listens
    return int(frontend.server.sockets[0].getsockname()[1])


def _changed(group: Group, member: Member, finding: Finding) -> None:
    _report(
        "health",
        group=group.arn,
        target=member.target.key,
        state=member.state.value,
        reason=finding.reason,
        description=finding.description,
    )


def _report(kind: str, **fields: Any) -> None:
    sys.stdout.write(json.dumps({"type": kind, **fields}, separators=(",", ":")) + "\n")
    sys.stdout.flush()


async def serve() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LINE_LIMIT_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    balancer = Balancer()
    ticking = loop.create_task(balancer.tick())
    while line := await reader.readline():
        await balancer.configure(Configuration.from_line(line))
    ticking.cancel()


def main() -> None:
    """Run the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the parent's to handle
    asyncio.run(serve())
