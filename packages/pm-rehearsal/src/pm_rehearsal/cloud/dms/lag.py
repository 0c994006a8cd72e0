"""How far a task is behind, measured on the source: the age of the oldest change that the target has not confirmed."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from pm_rehearsal.cloud.dms.checks import TaskError
from pm_rehearsal.cloud.dms.logins import Connection, Login, LoginError
from pm_rehearsal.cloud.dms.mappings import Table

PROBE_SECONDS = 2.0  # an apply worker reports its statistics only after a second of silence
_STATEMENT_SECONDS = 5

_POSITIONS = """
SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint, s.slot_name IS NOT NULL, s.wal_status,
  (greatest(r.replay_lsn, s.confirmed_flush_lsn) - '0/0')::bigint,
  (coalesce(r.sent_lsn, s.confirmed_flush_lsn) - '0/0')::bigint
FROM (SELECT) one
LEFT JOIN pg_replication_slots s ON s.slot_name = %s
LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid
"""
_CHANGES = """
SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint FROM pg_stat_user_tables
WHERE (schemaname, relname) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """What DMS calls CDCLatencySource and CDCLatencyTarget.

    Attributes:
        source_seconds: Age of the oldest change that was not yet read.
        target_seconds: Age of the oldest change that is not yet applied; never less than ``source_seconds``.
        confirmed: WAL position up to which the target has applied, as a number.
    """

    source_seconds: float
    target_seconds: float
    confirmed: int


class Ages:
    """Remembers when each WAL position of the source was first seen."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()  # time, position; both ascend

    def observe(self, now_seconds: float, position: int) -> None:
        """The source's WAL ended at this position at this time."""
        if not self._seen or position > self._seen[-1][1]:
            self._seen.append((now_seconds, position))

    def forget(self, confirmed: int) -> None:
        """Everything up to here has arrived."""
        while self._seen and self._seen[0][1] <= confirmed:
            self._seen.popleft()

    def age(self, now_seconds: float, reached: int) -> float:
        """Seconds since the oldest position beyond ``reached`` was first seen; 0 when there is none."""
        return next((now_seconds - seen for seen, position in self._seen if position > reached), 0.0)


class LagWatch:
    """Samples the lag of one task. Not thread-safe.

    An idle source is given a WAL record every two seconds, as DMS's heartbeat does: only so does a mover that died
    while nothing happened become visible, and only so does an idle source let go of its WAL.

    Args:
        source: The source's superuser.
        slot: The slot that the task reads.
    """

    def __init__(self, *, source: Login, slot: str) -> None:
        self._login = source
        self._slot = slot
        self._connection: Connection | None = None
        self._ages = Ages()
        self._last: Lag | None = None
        self._sampled_at = 0.0
        self._position = -1
        self._moved_at = 0.0

    def sample(self, now_seconds: float) -> Lag:
        """The lag now; while the source cannot be asked it grows, since nobody knows better.

        Raises:
            TaskError: The slot is gone or has lost its WAL; no restart repairs that.
        """
        try:
            if self._connection is None:
                self._connection = self._login.connect_discreetly(statement_seconds=_STATEMENT_SECONDS)
            self._last = self._measure(self._connection, now_seconds)
        except (psycopg.Error, LoginError):
            self.close()
            last = self._last or Lag(source_seconds=0.0, target_seconds=0.0, confirmed=0)
            blind_seconds = now_seconds - self._sampled_at if self._sampled_at else 0.0
            return Lag(
                source_seconds=last.source_seconds + blind_seconds,
                target_seconds=last.target_seconds + blind_seconds,
                confirmed=last.confirmed,
            )
        self._sampled_at = now_seconds
        return self._last

    def changes(self, tables: Sequence[Table]) -> int | None:
        """Rows changed in these tables of the source so far, as its statistics count them; None when it is away."""
        if self._connection is None:
            return None
        try:
            row = self._connection.execute(_CHANGES, [[t[0] for t in tables], [t[1] for t in tables]]).fetchone()
        except psycopg.Error:
            self.close()
            return None
        return int(row[0]) if row else None

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _measure(self, connection: Connection, now_seconds: float) -> Lag:
        row = connection.execute(_POSITIONS, [self._slot]).fetchone()
        position, exists, status, confirmed, sent = row or (0, False, None, None, None)
        if not exists:
            raise TaskError(f'replication slot "{self._slot}" was dropped while the task was running')
        if status == "lost":
            raise TaskError(f'replication slot "{self._slot}" lost its WAL: raise max_slot_wal_keep_size, load again')
        if position != self._position:
            self._position, self._moved_at = position, now_seconds
        elif now_seconds - self._moved_at >= PROBE_SECONDS:
            connection.execute("SELECT pg_logical_emit_message(false, 'dms_heartbeat', '', true)")
        self._ages.observe(now_seconds, position)
        self._ages.forget(confirmed)
        return Lag(
            source_seconds=self._ages.age(now_seconds, max(sent, confirmed)),
            target_seconds=self._ages.age(now_seconds, confirmed),
            confirmed=confirmed,
        )
