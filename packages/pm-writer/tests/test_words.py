import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_writer import Reading, State, WriterView, choose

OPEN_1 = Reading.of_word(10)
SEALED_0 = Reading.of_word(2)
FENCED_1 = Reading.of_word(11)
UNFENCED = Reading(state=State.UNFENCED)
UNREACHABLE = Reading(state=State.UNREACHABLE, reason="connection refused")

readings = st.one_of(
    st.sampled_from([UNFENCED, UNREACHABLE]),
    st.builds(lambda epoch, state: Reading.of_word(epoch * 10 + state), st.integers(0, 9), st.integers(0, 2)),
)


@pytest.mark.parametrize(
    ("source", "target", "writer"),
    [
        (UNFENCED, UNFENCED, WriterView(name="source", epoch=None)),  # before pm replicate
        (UNFENCED, UNREACHABLE, WriterView(name="source", epoch=None)),
        (OPEN_1, SEALED_0, WriterView(name="source", epoch=1)),
        (OPEN_1, UNREACHABLE, WriterView(name="source", epoch=1)),
        (FENCED_1, SEALED_0, None),  # in a move
        (Reading.of_word(12), Reading.of_word(20), WriterView(name="target", epoch=2)),
        (UNREACHABLE, Reading.of_word(20), WriterView(name="target", epoch=2)),
        (OPEN_1, Reading.of_word(20), WriterView(name="target", epoch=2)),  # the source's answer is old
        (Reading.of_word(12), UNFENCED, WriterView(name="target", epoch=None)),  # after pm finish
        (FENCED_1, UNFENCED, None),
        (UNREACHABLE, UNFENCED, None),
        (UNREACHABLE, UNREACHABLE, None),
    ],
)
def test_choose_follows_the_rule(source: Reading, target: Reading, writer: WriterView | None):
    assert choose([("source", source), ("target", target)]) == writer


@given(st.lists(readings, min_size=1, max_size=4))
def test_choice_is_open_at_the_highest_epoch_or_unfenced_behind_sealed_ones_only(given_readings: list[Reading]):
    named = [(str(number), reading) for number, reading in enumerate(given_readings)]
    writer = choose(named)
    epochs = [reading.epoch for reading in given_readings if reading.state is State.OPEN]
    if epochs:
        assert writer is not None
        assert writer.epoch == max(epoch for epoch in epochs if epoch is not None)
        assert dict(named)[writer.name].state is State.OPEN
    elif writer is not None:
        position = int(writer.name)
        assert given_readings[position].state is State.UNFENCED
        assert all(reading.state is State.SEALED for reading in given_readings[:position])


@pytest.mark.parametrize("word", [-1, 13, 9])
def test_a_word_with_an_unknown_state_is_refused(word: int):
    with pytest.raises(ValueError, match=f"fence word {word} is not epoch"):
        Reading.of_word(word)


def test_a_reading_speaks_for_itself():
    assert str(Reading.of_word(31)) == "fenced at epoch 3"
    assert str(UNREACHABLE) == "unreachable (connection refused)"
    assert str(UNFENCED) == "unfenced"
