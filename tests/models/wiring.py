"""Which numbers of a model belong to which objective: the wiring of every architecture, spelt out once more, for tests.

`WIRING[way]` maps a regular expression, matched against the whole name of a parameter or buffer without its "architecture.", to a pattern.
A name that nothing matches belongs to no objective. A pattern has a word an axis of the tensor (further axes: `*`). A word is the
size of the axis as factors joined by `.`, the outermost first. A factor is

- `k`       the objectives, in their order
- `K`       the objectives, and what lies there gets gradients from that objective's loss only
- `3`       so many blocks that are no objective's
- `*`       as many blocks as fit; once in a word
- `2k+1`    two neighbouring blocks of each objective, then one of nobody's; `1+2k` the other way round; `*+k` as many of nobody's as fit

Examples, with K objectives, experts of H numbers, N experts:

- `K`          a net an objective, [K, D, H], that none of the others reads
- `* * K.*`    gates [1, D, K·N]: N weights of the first objective, N of the second, …
- `* * *.k`    N blocks of K, [1, D, N·K]
- `* * 1k+2.*` experts' first layers side by side, [1, D, (K + 2)·H]: one expert an objective, two shared, H columns each
- `* k k`      a matrix of mixing weights a layer, [L, K, K]
- `* * K.k+1`  [1, D, K·(K + 1)]: each objective's gate over K own experts and a shared one
"""

import re
from functools import reduce

import torch

from recsys.models import ARCHITECTURES

# Ways in which no activation is read by two objectives: `Shared.shared` is None.
NOTHING_SHARED = {"single_task", "soft", "gated_independent"}

# Ways that read the objectives' order where no objective is given another, so that permuted objectives are another model.
READS_ORDER = {"aitm"}

WIRING = {
    "single_task": {r"net\..*": "K"},
    "shared_bottom": {},
    "soft": {r"nets\.first\..*": "* * K.*", r"nets\.rest\..*": "K"},
    "gated_independent": {r"nets\.first\..*": "* * K.*", r"nets\.rest\..*": "K", r"descriptors_KZ": "k k"},
    "concat_task": {r"net\..*\.joint\.weight": "* *+K", r"descriptors_KZ": "k k"},
    "add_task": {r"net\..*\.shift\.weight": "* K", r"descriptors_KZ": "k k"},
    "film": {r"net\..*\.(scale|shift)\.weight": "* K", r"descriptors_KZ": "k k"},
    "cross_stitch": {r"first\..*": "* * k.*", r"rest\..*": "k", r"stitches\.0\..*": "k k", r"stitches\.1\..*": "K k"},
    "sluice": {
        r"first\..*": "* * k.*",
        r"rest\..*": "k",
        r"stitches\.0\..*": "k.* k.*",
        r"stitches\.1\..*": "K.* k.*",
        r"layers\.mixture": "K",
    },
    "mtan": {r"masks\..*": "K"},
    "deep_relationship": {r"nets\.first\..*": "* * K.*", r"nets\.rest\..*": "K", r"relations\..*": "k k"},
    "omoe": {},
    "mmoe": {r"gates\.linear\.weight": "* * K.*"},
    "cgc": {r"level\.experts\.own\..*": "K.*", r"level\.gates\..*": "K"},
    "ple": {
        r"levels\.0\.experts\.own\..*": "k.*",  # the shared path reads them
        r"levels\.1\.experts\.own\..*": "K.*",
        r"levels\..\.gates\..*": "K",
        r"levels\.0\.shared_gate\..*": "* * k+2",
    },
    "home": {r"task\.own\.(?!norm\.batches).*": "K.*", r"task\.(gates|own_self)\..*": "K"},
    "pepnet": {r"layers\..*": "K", r"layer_gates\..*\.out\..*": "* * K.*"},
    "stem": {r"experts\.own\..*": "K.*", r"gates\..*": "K * k+1"},
    "aitm": {r"(below|towers)\..*": "k"},
}

# The frame around them, by the number of embedding tables: one, one an objective, one shared and one an objective.
COMMON = {r"towers\..*": "K", r"inputs\.skip\.weight": "* * K", r"bias_tower\.tables\..*": "* K"}
ONE_TABLE = {r"inputs\.embeddings\.tables\.table": "* *+K", r"cross\.out\.weight": "* * K"}
OWN_TABLES = {r"inputs\.embeddings\.tables\.table": "K.*", r"(hidden|inputs\.attention|cross)\..*": "K"}
SHARED_AND_OWN_TABLES = {
    r"inputs\.embeddings\.tables\.table": "1+K.*",
    r"(hidden|inputs\.attention)\..*": "1+K",
    r"cross\..*": "K",
}


def permuted(way, name, tensor, order):
    """The tensor called `name` in a model whose k-th objective is the one that was `order[k]`-th: a copy."""
    for axis, word in enumerate(_words(way, name, len(order))):
        tensor = tensor.index_select(axis, _places(word, tensor.shape[axis], torch.as_tensor(order), len(order)))
    return tensor.clone()


def own_part(way, name, tensor, k, num_objectives):
    """What of the tensor gets gradients from objective k's loss only; None where nothing does."""
    words = _words(way, name, num_objectives)
    if not any("K" in word for word in words):
        return None
    for axis, word in enumerate(words):
        if "K" in word:
            tensor = tensor.index_select(axis, _places(word, tensor.shape[axis], torch.tensor([k]), num_objectives, own=True))
    return tensor


def _words(way, name, num_objectives):
    tables = ARCHITECTURES[way].num_tables(num_objectives)
    by_tables = ONE_TABLE if tables == 1 else OWN_TABLES if tables == num_objectives else SHARED_AND_OWN_TABLES
    patterns = {rf"architecture\.(?:{pattern})": words for pattern, words in WIRING[way].items()} | COMMON | by_tables
    found = [words for pattern, words in patterns.items() if re.fullmatch(pattern, name)]
    assert len(found) <= 1, f"{way}: {name} matches {len(found)} patterns"
    return found[0].split() if found else []


def _places(word, size, objectives, num, own=False):
    """Places along an axis of `size`: all, the objectives' in the order given; or with `own`, theirs alone wherever a factor is `K`."""
    factors = word.split(".")
    lengths = _lengths(factors, size, num)
    places = [_of_factor(factor, length, objectives, num, own) for factor, length in zip(factors, lengths, strict=True)]
    pairs = zip(places[1:], lengths[1:], strict=True)
    return reduce(lambda outer, inner: (outer[:, None] * inner[1] + inner[0]).flatten(), pairs, places[0])


def _lengths(factors, size, num):
    """The length of every factor; the one with a `*` takes what the others leave."""
    lengths = [None if "*" in factor else _length(factor, num) for factor in factors]
    known = reduce(lambda a, b: a * b, [length for length in lengths if length is not None], 1)
    unknown = lengths.count(None)
    assert unknown <= 1, f"{'.'.join(factors)}: found {unknown} factors with *, expected at most one"
    fits = size % known == 0 if unknown else size == known
    assert fits, f"{'.'.join(factors)}: does not fit an axis of {size} with {num} objectives"
    return [size // known if length is None else length for length in lengths]


def _length(factor, num):
    return sum(_each(part) * num if _is_objectives(part) else int(part) for part in factor.split("+"))


def _is_objectives(part):
    return part.lower().endswith("k")


def _each(part):
    """Blocks an objective: 2 of `2k`, 1 of `k`."""
    return int(part[:-1] or 1)


def _of_factor(factor, length, objectives, num, own):
    """Places within one factor."""
    parts = factor.split("+")
    taken = sum(_length(part, num) for part in parts if part != "*")
    places, start = [], 0
    for part in parts:
        size = length - taken if part == "*" else _length(part, num)
        if _is_objectives(part):
            wanted = torch.arange(num) if own and "k" in part else objectives
            each = _each(part)
            places.append(start + (wanted[:, None] * each + torch.arange(each)).flatten())
        elif not (own and "K" in factor):
            places.append(torch.arange(start, start + size))
        start += size
    return torch.cat(places)
