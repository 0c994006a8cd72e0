"""Clients that each keep an answer of the weighted name, as a resolver's cache does, and ask again when it is old."""

import asyncio
import logging
import random
import time
from typing import Protocol

from pm_rehearsal.resolver import Endpoint, ResolveError

# However long the TTL: weights are to show within a rehearsal's short steps.
LONGEST_USE_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Resolves(Protocol):
    """What is needed of a resolver: `pm_rehearsal.resolver.Resolver` has it."""

    async def resolve(self, name: str) -> Endpoint:
        """Where the name leads now: a new draw among its weighted records."""
        ...


class Client:
    """One client's answer."""

    def __init__(self, resolver: Resolves, name: str) -> None:
        self._resolver = resolver
        self._name = name
        self._endpoint: Endpoint | None = None
        self._asked_at = 0.0
        self._refresh: asyncio.Task[None] | None = None

    async def resolve(self) -> None:
        """Ask now.

        Raises:
            ResolveError: The name leads nowhere.
        """
        asked_at = time.monotonic()
        self._endpoint = await self._resolver.resolve(self._name)
        self._asked_at = asked_at

    def endpoint(self) -> Endpoint:
        """The answer to use. An old one is used once more while a new one is on its way."""
        if self._endpoint is None:
            raise ResolveError(f"{self._name} was never resolved")
        use_seconds = min(self._endpoint.ttl_seconds, LONGEST_USE_SECONDS)
        if time.monotonic() - self._asked_at > use_seconds and (self._refresh is None or self._refresh.done()):
            self._refresh = asyncio.create_task(self._ask_again())
        return self._endpoint

    async def _ask_again(self) -> None:
        try:
            await self.resolve()
        except ResolveError as error:
            logger.warning("keeping the old answer: %s", error)


class Clients:
    """All clients; each request is one of a random client.

    Args:
        resolver: Asked by all of them.
        name: The weighted name.
        count: How many.
        choices: Source of randomness.
    """

    def __init__(self, *, resolver: Resolves, name: str, count: int, choices: random.Random) -> None:
        self._clients = [Client(resolver, name) for _ in range(count)]
        self._choices = choices

    async def resolve(self) -> None:
        """Give every client its first answer.

        Raises:
            ResolveError: The name leads nowhere.
        """
        answers = await asyncio.gather(*(client.resolve() for client in self._clients), return_exceptions=True)
        for answer in answers:
            if answer is not None:
                raise answer

    def endpoint(self) -> Endpoint:
        """Where a request of a random client goes."""
        return self._choices.choice(self._clients).endpoint()
