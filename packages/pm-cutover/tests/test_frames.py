"""A log of frames says again what was written to several streams."""

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_cutover.errors import UsageError
from pm_cutover.frames import CHUNK_CHARACTERS, Frame, FrameReader, lines_of
from pm_cutover.output import LogOutput, LogProgress, clear_screen, log_of, make_progress, output_as_asked
from pm_cutover.progress import ConsoleProgress

# What `pm` writes: lines without line ends, of any length.
TEXTS = st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs",)), max_size=40) | st.integers(
    0, 3 * CHUNK_CHARACTERS
).map(lambda length: "äöü 12345"[:9] * (length // 9))
FRAMES = st.builds(Frame, kind=st.sampled_from(["out", "err", "wait", "clear", "evidence", "end"]), text=TEXTS)


@given(st.lists(FRAMES))
def test_what_is_written_is_what_is_read(frames: list[Frame]) -> None:
    reader = FrameReader()
    assert [one for frame in frames for line in lines_of(frame) for one in reader.read(line)] == frames
    assert reader.rest() == []


@given(FRAMES)
def test_no_log_line_is_so_long_that_a_log_driver_would_cut_it(frame: Frame) -> None:
    lines = lines_of(frame)
    assert all(len(line.encode()) < 16 * 1024 for line in lines)
    assert not any("\n" in line for line in lines)


def test_a_line_written_past_pm_belongs_to_standard_error() -> None:
    assert FrameReader().read("Fatal Python error: out of memory") == [
        Frame(kind="err", text="Fatal Python error: out of memory")
    ]


def test_a_text_whose_end_was_lost_is_shown_as_far_as_it_is_known() -> None:
    reader = FrameReader()
    assert reader.read("out+ begun") == []
    assert reader.read("err: another") == [Frame(kind="out", text="begun"), Frame(kind="err", text="another")]
    assert reader.read("out+ begun again") == []
    assert reader.rest() == [Frame(kind="out", text="begun again")]


def test_a_driver_that_strips_blanks_changes_no_empty_line() -> None:
    assert FrameReader().read("out:") == [Frame(kind="out", text="")]


def test_both_streams_go_to_one_log_in_the_order_in_which_they_were_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PM_OUTPUT", "log")
    with output_as_asked() as log:
        print("one")
        print("two", file=sys.stderr)
        make_progress().waiting("three")
        clear_screen()
        print("four", end="")
        assert log is not None
        log.write("evidence", "{}")
        log.end(3)
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "out: one",
        "err: two",
        "wait: three",
        "clear: ",
        "evidence: {}",
        "out: four",
        "end: 3",
    ]
    assert said.err == ""


def test_a_log_hears_of_a_wait_once() -> None:
    stream = io.StringIO()
    progress = LogProgress(LogOutput(stream))
    for _ in range(3):
        progress.waiting("5 s left")
    progress.step("done")
    progress.waiting("5 s left")
    assert stream.getvalue().splitlines() == ["wait: 5 s left", "err: done", "wait: 5 s left"]


def test_output_goes_where_it_always_does_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PM_OUTPUT", raising=False)
    with output_as_asked() as log:
        assert log is None
        assert log_of(sys.stdout) is None
        assert isinstance(make_progress(), ConsoleProgress)


def test_another_kind_of_output_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PM_OUTPUT", "xml")
    with pytest.raises(UsageError, match="PM_OUTPUT=xml: allowed is log"), output_as_asked():
        pass
