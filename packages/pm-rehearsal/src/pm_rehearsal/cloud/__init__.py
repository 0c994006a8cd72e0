"""The embedded AWS: MiniStack and what it lacks, in one process on 127.0.0.1."""

from pm_rehearsal.cloud.launch import CloudStartError, EmbeddedCloud, inherited_environment

__all__ = ["CloudStartError", "EmbeddedCloud", "inherited_environment"]
