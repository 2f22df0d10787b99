import pytest

from recsys.report.pages.section import number_of


@pytest.mark.parametrize(("count", "words"), [(0, "0 days"), (1, "1 day"), (2, "2 days"), (1_200, "1,200 days")])
def test_a_number_agrees_with_its_noun(count: int, words: str) -> None:
    assert number_of(count, "day") == words
