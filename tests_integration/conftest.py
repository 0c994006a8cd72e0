from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rehearsals import Rehearsal


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Rehearsal]]:
    started: list[Rehearsal] = []

    def begin(*arguments: str) -> Rehearsal:
        started.append(Rehearsal(tmp_path, *arguments))
        return started[-1]

    yield begin
    for rehearsal in started:
        rehearsal.end()
