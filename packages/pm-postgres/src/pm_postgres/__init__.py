"""Real PostgreSQL servers from PyPI binaries, and child processes that die with their parent."""

from pm_postgres.binaries import BIN_VARIABLE, Binaries, PostgresMissingError, find_binaries
from pm_postgres.children import free_port, kill_session, spawn
from pm_postgres.server import PostgresServer, PostgresStartError

__all__ = [
    "BIN_VARIABLE",
    "Binaries",
    "PostgresMissingError",
    "PostgresServer",
    "PostgresStartError",
    "find_binaries",
    "free_port",
    "kill_session",
    "spawn",
]
