"""The words of the page and of docs/glossary.md. `static/glossary.toml` is their only source."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache

from markupsafe import Markup, escape

from recsys.report.templates import static

_MARKDOWN = re.compile(r"`(?P<code>[^`]+)`|(?<!\*)\*(?P<stressed>[^*]+)\*|\[(?P<link>[^\]]+)\]\([^)]+\)")


@dataclass(frozen=True)
class Term:
    """A word, what others call it, and what it means here. Code, emphasis and links to docs/ are markdown.

    `metrics` are the names of metrics that it explains, without what follows an @. `phrases` are what a text of the page says where it
    means this word.
    """

    name: str
    also: str
    meaning: str
    metrics: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()

    @property
    def anchor(self) -> str:
        """The id of the word's row on the page."""
        return "term-" + re.sub(r"\W+", "-", self.name.lower()).strip("-")

    @property
    def meaning_html(self) -> Markup:
        return _html(self.meaning)

    @property
    def also_html(self) -> Markup:
        return _html(self.also)

    def link(self, text: str) -> Markup:
        """Return the text as a link to the word's row. A script of the page makes the row's meaning its tooltip."""
        return Markup('<a class="term" href="#{}">{}</a>').format(self.anchor, text)


@cache
def terms() -> tuple[Term, ...]:
    """Return every word, in the order of the alphabet."""
    return tuple(
        Term(each["name"], each["also"], each["meaning"], tuple(each.get("metrics", ())), tuple(each.get("phrases", ())))
        for each in tomllib.loads(str(static("glossary.toml")))["term"]
    )


def linked(text: str) -> Markup:
    """Return a text of the page, escaped, in which the first phrase of each word is a link to the word."""
    parts, end, met = [], 0, set()
    for found in _phrases().finditer(text):
        term = _by_phrase()[found[0]]
        if term.name in met:
            continue
        met.add(term.name)
        parts += [escape(text[end : found.start()]), term.link(found[0])]
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])


def linked_metric(name: str) -> Markup:
    """Return the name of a metric ("auc", "captured@10%") as a link to the word that explains it. Other names stay text."""
    term = next((each for each in terms() if name.partition("@")[0] in each.metrics), None)
    return escape(name) if term is None else term.link(name)


@cache
def _by_phrase() -> dict[str, Term]:
    return {phrase: term for term in terms() for phrase in term.phrases}


@cache
def _phrases() -> re.Pattern[str]:
    longest_first = sorted(_by_phrase(), key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])")


def _html(text: str) -> Markup:
    """Return a text as HTML. A page that works offline has no other pages to link to, so a link stays its text."""
    parts, end = [], 0
    for found in _MARKDOWN.finditer(text):
        parts.append(escape(text[end : found.start()]))
        if found["code"]:
            parts.append(Markup("<code>{}</code>").format(found["code"]))
        else:
            parts.append(Markup("<em>{}</em>").format(found["stressed"]) if found["stressed"] else escape(found["link"]))
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])
