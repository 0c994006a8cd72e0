import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # cutover_rig is shared with the child processes that tests kill

from cutover_rig import NativeReplication, Rig, Sides, prepare, running_rig


@pytest.fixture(scope="module")
def bare_rig() -> Iterator[Rig]:
    """Two servers with roles and tables, no control schema."""
    with running_rig() as (rig, _):
        yield rig


@pytest.fixture(scope="module")
def replication(bare_rig: Rig) -> NativeReplication:
    """Control schema on both, rows flow from source to target."""
    return prepare(bare_rig)


@pytest.fixture(scope="module")
def rig(bare_rig: Rig, replication: NativeReplication) -> Rig:
    """Ready to be moved."""
    return bare_rig


@pytest.fixture
def sides(rig: Rig, replication: NativeReplication) -> Sides:
    return Sides(rig, replication)
