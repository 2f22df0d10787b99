"""The words of the page: one source for docs/glossary.md and for the page, and every metric has one."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.evaluation.metrics import METRICS
from recsys.report.glossary import linked, linked_metric, terms
from recsys.report.glossary_page import COMMAND, glossary
from tests.report.test_page import Page

ROOT = Path(__file__).resolve().parents[2]


def test_the_committed_page_is_fresh() -> None:
    committed = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    assert committed == glossary(), f"docs/glossary.md is stale. Fix: {COMMAND}"


def test_words_stand_in_the_order_of_the_alphabet_and_a_phrase_means_one_word() -> None:
    names = [term.name.lower() for term in terms()]
    assert names == sorted(names)
    assert len({term.anchor for term in terms()}) == len(names)
    phrases = [phrase for term in terms() for phrase in term.phrases]
    assert len(set(phrases)) == len(phrases)


def test_every_metric_of_the_page_is_explained(metrics) -> None:
    names = {*metrics["metric"].to_pylist(), *(metric.name for metric in METRICS)}
    assert len(names) > 15
    for name in names:
        assert linked_metric(name).startswith('<a class="term" href="#term-'), name


def test_the_first_phrase_of_a_word_is_a_link_and_the_rest_stays_text() -> None:
    found = linked("auc <b> of gbdt-1a, an auc-like xauc; intervals, then an interval")
    assert found.count("<a ") == 3
    assert found.startswith('<a class="term" href="#term-auc">auc</a> &lt;b&gt; of gbdt-1a, an auc-like')
    assert found.endswith('<a class="term" href="#term-confidence-interval">intervals</a>, then an interval')


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(["auc", " ", "<", "&", '"', "gauc_list", "interval", "é"]), max_size=12))
def test_a_text_with_links_says_the_same(parts: list[str]) -> None:
    assert Page(str(linked("".join(parts)))).text == "".join(parts)


@pytest.mark.parametrize("term", terms(), ids=lambda term: term.name)
def test_meanings_are_markdown_that_the_page_can_show(term) -> None:
    text = Page(str(term.meaning_html)).text
    assert "`" not in text
    assert "](" not in text
    assert term.meaning.endswith((".", ")"))
