"""What arrived in each table of the target: the numbers of DescribeTableStatistics."""

import threading
from dataclasses import dataclass, replace

from pm_rehearsal.cloud.dms.logins import Connection
from pm_rehearsal.cloud.dms.mappings import Table

BEFORE, LOADING, COMPLETED, ERROR = "Before load", "Full load", "Table completed", "Table error"

_TABLES = """
SELECT n.nspname, c.relname, r.srsubstate, w.pid IS NOT NULL, coalesce(p.tuples_processed, 0),
  coalesce(e.sync_error_count, 0),
  pg_stat_get_tuples_inserted(c.oid), pg_stat_get_tuples_updated(c.oid), pg_stat_get_tuples_deleted(c.oid)
FROM pg_subscription s
JOIN pg_subscription_rel r ON r.srsubid = s.oid
JOIN pg_class c ON c.oid = r.srrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_subscription w ON w.subid = s.oid AND w.relid = c.oid
LEFT JOIN pg_stat_subscription_stats e ON e.subid = s.oid
LEFT JOIN pg_stat_progress_copy p ON p.relid = c.oid AND p.pid = w.pid
WHERE s.subname = %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableProgress:
    """One table, as far as the target's statistics tell (about a second behind).

    Attributes:
        state: DMS's word for it.
        loaded_rows: Rows of the full load.
        inserts: Rows inserted by CDC since.
        updates: Rows updated by CDC.
        deletes: Rows deleted by CDC.
        started: When its load was first seen; seconds since 1970.
        ended: When its load was first seen complete; None before.
        changed: When any of the numbers last changed.
    """

    state: str = BEFORE
    loaded_rows: int = 0
    inserts: int = 0
    updates: int = 0
    deletes: int = 0
    started: float
    ended: float | None = None
    changed: float


@dataclass(frozen=True, slots=True)
class _Counted:
    """The target's counters: as last read, and summed up over restarts of the server, which reset them."""

    last: tuple[int, int, int]
    total: tuple[int, int, int] = (0, 0, 0)

    def add(self, now: tuple[int, int, int]) -> "_Counted":
        reset = any(new < old for new, old in zip(now, self.last, strict=True))
        grown = now if reset else tuple(new - old for new, old in zip(now, self.last, strict=True))
        inserted, updated, deleted = (total + more for total, more in zip(self.total, grown, strict=True))
        return _Counted(now, (inserted, updated, deleted))


class Progress:
    """Follows one subscription. Reading is thread-safe; one thread samples.

    Args:
        subscription: Its name on the target.
        load: Whether it began with a full load.
    """

    def __init__(self, *, subscription: str, load: bool) -> None:
        self._subscription = subscription
        self._load = load
        self._lock = threading.Lock()
        self._tables: dict[Table, TableProgress] = {}
        self._counted: dict[Table, _Counted] = {}

    def tables(self) -> dict[Table, TableProgress]:
        """The last sample, by table."""
        with self._lock:
            return dict(sorted(self._tables.items()))

    @property
    def loaded(self) -> bool:
        """Whether every table is complete."""
        tables = self.tables()
        return bool(tables) and all(table.state == COMPLETED for table in tables.values())

    @property
    def changes(self) -> int:
        """Rows changed by CDC in all tables."""
        return sum(table.inserts + table.updates + table.deletes for table in self.tables().values())

    @property
    def loaded_rows(self) -> int:
        """Rows of the full load in all tables."""
        return sum(table.loaded_rows for table in self.tables().values())

    def restart(self) -> None:
        """Forget everything: the task begins anew."""
        with self._lock:
            self._tables.clear()
            self._counted.clear()

    def sample(self, connection: Connection, now: float) -> None:
        """Read the target.

        Args:
            connection: To the target.
            now: Seconds since 1970.

        Raises:
            psycopg.Error: The target is away.
        """
        rows = connection.execute(_TABLES, [self._subscription]).fetchall()
        with self._lock:
            for schema, name, state, working, copied, errors, *counters in rows:
                table = (schema, name)
                now_counted = (int(counters[0]), int(counters[1]), int(counters[2]))
                before = self._counted.get(table)
                self._counted[table] = counted = before.add(now_counted) if before else _Counted(now_counted)
                old = self._tables.get(table) or TableProgress(started=now, changed=now)
                self._tables[table] = self._next(
                    old, _state(state, working=working, errors=errors), copied, counted.total, now
                )

    def _next(
        self, old: TableProgress, state: str, copied: int, total: tuple[int, int, int], now: float
    ) -> TableProgress:
        inserted, updated, deleted = total
        if state != COMPLETED:
            loaded, ended = max(old.loaded_rows, copied), None
        elif old.ended is None:
            loaded, ended = (inserted if self._load else 0), now
        else:
            loaded, ended = old.loaded_rows, old.ended
        new = replace(
            old,
            state=state,
            loaded_rows=loaded,
            inserts=max(0, inserted - loaded),
            updates=updated,
            deletes=deleted,
            ended=ended,
        )
        return new if new == old else replace(new, changed=now)


def _state(relation_state: str, *, working: bool, errors: int) -> str:
    if relation_state in {"s", "r"}:
        return COMPLETED
    if working:
        return LOADING
    # Its worker copied something before and is not there any more: it failed, and is started again every few seconds.
    return ERROR if relation_state != "i" and errors else BEFORE
