"""What is said between the load's process and whoever started it: one JSON object a line, in both directions.

To the process: first a `Config`, then ``{"command": "snapshot"}`` or ``{"command": "stop"}``; the end of file ends it
at once. From the process: a `Snapshot` each half second, for each ``snapshot``, and a last one with ``stopped`` after
``stop``, when nothing is in flight any more.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the load's process is told.

    Attributes:
        dns_host: Address of the DNS server.
        dns_port: Its UDP port.
        record_name: The weighted name that clients pay at.
        rate: Payments per second, on average; they arrive at random times (Poisson), whether or not earlier ones have
            been answered. Refunds and replays come on top.
        accounts: Customer accounts to charge, in EUR.
        book: File to append to.
        authority: Certificate with which clients verify the server; None lets them speak plain HTTP.
        seed: Of the random choices. Default 1.
        clients: Clients to imitate, each with an answer of the weighted name of its own. Default 12.
    """

    dns_host: str
    dns_port: int
    record_name: str
    rate: float
    accounts: tuple[int, ...]
    book: Path
    authority: Path | None = None
    seed: int = 1
    clients: int = 12

    def __post_init__(self) -> None:
        if self.rate <= 0 or not self.accounts or self.clients < 1:
            raise ValueError(
                f"rate is {self.rate:g} with {len(self.accounts)} accounts and {self.clients} clients: "
                "a rate above zero, at least one account and one client are needed"
            )

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, line: str) -> "Config":
        """The opposite of `to_json`.

        Raises:
            ValueError: No JSON object, or one with other fields.
        """
        try:
            values: dict[str, Any] = json.loads(line)
            given = {"accounts": tuple(values["accounts"]), "book": Path(values["book"])}
            if values.get("authority"):
                given["authority"] = Path(values["authority"])
            return cls(**{**values, **given})
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a configuration of the load: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The load at one moment.

    Attributes:
        acknowledged: Payments that the service confirmed.
        refunds: Refunds that it confirmed.
        replays: Repetitions of an earlier key that it answered.
        failed: Requests without a 2xx answer within their deadline.
        doubled: Repetitions that were answered with another payment.
        in_flight: Requests that wait for an answer.
        rate: Acknowledged payments per second since the previous snapshot.
        p50_ms: Median latency of all requests since the previous snapshot, from when each was due.
        p99_ms: The 99th percentile of the same.
        by_environment: Acknowledged payments by the environment that answered.
        last_failure: Reason of the latest failure; empty when there was none.
        cpu_seconds: Processor time that the load's process has used.
        stopped: Whether this is the last one.
    """

    acknowledged: int
    refunds: int
    replays: int
    failed: int
    doubled: int
    in_flight: int
    rate: float
    p50_ms: float
    p99_ms: float
    by_environment: dict[str, int]
    last_failure: str
    cpu_seconds: float
    stopped: bool

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> "Snapshot":
        """The opposite of `to_json`.

        Raises:
            ValueError: No JSON object, or one with other fields.
        """
        try:
            return cls(**json.loads(line))
        except TypeError as error:
            raise ValueError(f"not a snapshot of the load: {error}") from error
