import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_cutover.errors import PersonNeededError
from pm_cutover.steps.situation import OPEN, SEALED, Situation, decide

epochs = st.integers(0, 50)
states = st.integers(0, 2)


@pytest.mark.parametrize(
    ("word_a", "word_b", "found"),
    [
        (10, 2, Situation(writer="a", epoch=1, interrupted=False)),  # as installed
        (11, 2, Situation(writer="a", epoch=1, interrupted=True)),  # died after the fence
        (12, 2, Situation(writer="a", epoch=1, interrupted=True)),  # died after the seal
        (12, 20, Situation(writer="b", epoch=2, interrupted=False)),  # opened
        (12, 21, Situation(writer="b", epoch=2, interrupted=True)),  # on its way back, died after the fence
    ],
)
def test_words_tell_the_writer(word_a: int, word_b: int, found: Situation):
    assert decide(word_a, word_b) == found


@given(epochs, states, epochs, states)
def test_decision_is_symmetric_and_trusts_only_words_of_the_protocol(e_a: int, s_a: int, e_b: int, s_b: int):
    word_a, word_b = e_a * 10 + s_a, e_b * 10 + s_b
    lower_is_sealed = (s_b if e_a > e_b else s_a) == SEALED
    if e_a == e_b or not lower_is_sealed:
        with pytest.raises(PersonNeededError, match="out of order"):
            decide(word_a, word_b)
        return
    found, mirrored = decide(word_a, word_b), decide(word_b, word_a)
    assert {found.writer, mirrored.writer} == {"a", "b"}
    assert found.epoch == mirrored.epoch == max(e_a, e_b)
    assert found.interrupted == mirrored.interrupted == ((s_a if e_a > e_b else s_b) != OPEN)
