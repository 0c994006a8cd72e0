"""A psycopg 3 pool that follows the one open writer of a migration."""

from pm_writer.candidates import Candidate, CredentialsError, ParametersProvider
from pm_writer.follower import Counters
from pm_writer.pool import NoWriterError, SwallowedError, Work, WriterPool
from pm_writer.words import Reading, State, WriterView, choose

__all__ = [
    # what a service uses
    "Candidate",
    "CredentialsError",
    "NoWriterError",
    "ParametersProvider",
    "SwallowedError",
    "Work",
    "WriterPool",
    "WriterView",
    "Counters",
    # the rule, pure
    "Reading",
    "State",
    "choose",
]
