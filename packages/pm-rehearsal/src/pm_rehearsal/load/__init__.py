"""The load: a client's payments through the weighted name, and its own book of what was acknowledged."""

from pm_rehearsal.load.book import Book, BookError, read_book, write_gaps
from pm_rehearsal.load.messages import Config, Snapshot

__all__ = ["Book", "BookError", "Config", "Snapshot", "read_book", "write_gaps"]
