"""What a balancer counts between two reports; the names are CloudWatch's (namespace AWS/ApplicationELB)."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self


@dataclass(slots=True)
class Statistic:
    """A statistic set as CloudWatch takes it; the unit is seconds."""

    count: int = 0
    total: float = 0.0
    smallest: float = 0.0
    largest: float = 0.0

    def add(self, value: float) -> None:
        """Take one observation in."""
        self.smallest = value if self.count == 0 else min(self.smallest, value)
        self.largest = max(self.largest, value)
        self.count += 1
        self.total += value


@dataclass(slots=True)
class Counters:
    """Since the last report, of one target group.

    Attributes:
        requests: For which a target was chosen.
        target_2xx, target_3xx, target_4xx, target_5xx: Answers of targets by class.
        connection_errors: Connections to targets that could not be made.
        retries: Requests sent again because a target closed its connection without an answer; AWS answers 502 there.
        response_time: From the request's last byte to the first byte of the target's answer.
    """

    requests: int = 0
    target_2xx: int = 0
    target_3xx: int = 0
    target_4xx: int = 0
    target_5xx: int = 0
    connection_errors: int = 0
    retries: int = 0
    response_time: Statistic = field(default_factory=Statistic)

    def answered(self, status: int, seconds: float) -> None:
        """Count a target's answer."""
        name = f"target_{status // 100}xx"
        if name in _CLASSES:
            setattr(self, name, getattr(self, name) + 1)
        self.response_time.add(seconds)

    def take(self) -> dict[str, Any] | None:
        """What was counted, and start again; None when nothing was."""
        if self == Counters():
            return None
        counted = asdict(self)
        self.__init__()  # type: ignore[misc] # back to every default, in place: connections hold this object
        return counted

    @classmethod
    def from_report(cls, value: dict[str, Any]) -> Self:
        """What ``take`` returned, after a way through JSON."""
        return cls(**{**value, "response_time": Statistic(**value["response_time"])})


_CLASSES = frozenset(item.name for item in fields(Counters) if item.name.startswith("target_"))
