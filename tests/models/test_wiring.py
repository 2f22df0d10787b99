"""Places that hold the same along two axes, by hand; what the words say of the nets is in the contract of all architectures."""

import pytest

from recsys.models.wiring import by_name, matched

# like and click of the old objectives click, watch; one group of two; no device of the old ones.
NAMED = {"k": by_name(("like", "click"), ("click", "watch")), "g": by_name(("a",), ("a", "b")), "d": by_name((None, "tv"), (None,))}


@pytest.mark.parametrize(
    ("word", "size", "there", "old_size"),
    [
        ("*", 3, [0, 1, 2], 3),
        ("k", 2, [-1, 0], 2),
        ("2k", 4, [-1, -1, 0, 1], 4),
        ("k.*", 6, [-1, -1, -1, 0, 1, 2], 6),
        ("*.k", 4, [-1, 0, -1, 2], 4),
        ("*+k", 5, [0, 1, 2, -1, 3], 5),
        ("1+k", 3, [0, -1, 1], 3),
        ("1+k.3", 9, [0, 1, 2, -1, -1, -1, 3, 4, 5], 9),
        ("2k+1", 5, [-1, -1, 0, 1, 4], 5),
        ("g.*", 2, [0, 1], 4),
        ("*.d", 6, [0, -1, 1, -1, 2, -1], 3),
    ],
)
def test_places_by_hand(word: str, size: int, there: list[int], old_size: int) -> None:
    found = matched(word, size, NAMED)
    assert found.there_N.tolist() == there
    assert found.size == old_size


def test_an_axis_of_another_size_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="found an axis of 3, expected 2 places"):
        matched("k", 3, NAMED)
