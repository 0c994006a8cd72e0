"""How long each part of a move of the writer may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Deadlines of a move, in seconds.

    Attributes:
        engine_lock_seconds: Wait for another ``pm`` (a verification, a status) to finish. Default 5.
        max_lag_seconds: Largest replication lag with which a move starts. Default 0.25; DMS needs more.
        lag_wait_seconds: How long the preflight waits for the lag to get below that. Default 10.
        long_transaction_seconds: Age of a writing transaction that makes a move wait or refuse. Default 0.25.
        transaction_wait_seconds: How long the preflight waits for such a transaction to end. Default 2.
        lease_seconds: The fence lifts itself after this when the engine died; also the longest pause. Default 3.
        barrier_seconds: Wait for writes in flight after the fence. Default 0.5.
        drain_seconds: Wait for the last rows to arrive on the other side. Default 2.
        reverse_seconds: Wait until the new direction has carried a marker. Default 30; DMS needs more.
        recovery_seconds: Wait for a database that broke the connection in the pause, before giving up. Default 10.
    """

    engine_lock_seconds: float = 5.0
    max_lag_seconds: float = 0.25
    lag_wait_seconds: float = 10.0
    long_transaction_seconds: float = 0.25
    transaction_wait_seconds: float = 2.0
    lease_seconds: float = 3.0
    barrier_seconds: float = 0.5
    drain_seconds: float = 2.0
    reverse_seconds: float = 30.0
    recovery_seconds: float = 10.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value <= 0:
                raise ValueError(f"{name} is {value}: must be more than 0 seconds")
        if self.barrier_seconds + self.drain_seconds >= self.lease_seconds:
            raise ValueError(
                f"lease_seconds is {self.lease_seconds}: must be more than barrier_seconds + drain_seconds "
                f"({self.barrier_seconds} + {self.drain_seconds}), or the fence lifts itself before the drain ends"
            )
