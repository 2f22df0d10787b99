"""Names for what each axis of each of a ranker's tensors holds, so that another ranker's tensor can be matched to it place by place.

An architecture's tensors have words, one per axis (further axes: `*`). A word is the size of the axis as factors joined by `.`, the
outermost first. A factor is a sum of blocks joined by `+`:

- `k`   one block per objective, in their order; `2k` two neighbouring ones
- `g`   likewise one block per group of objectives, sorted
- `3`   so many blocks that belong to no objective
- `*`   as many blocks as fit; once in a word

A number in braces is one of the architecture's options.

`* * k.*` are gates [1, D, K·N]: N weights of the first objective, N of the second, …. `* * k.k+1` are gates [1, D, K·(K + 1)]: each
objective's gate over K own experts and a shared one. A name that stands in no table belongs to no objective.
"""

import re
from collections.abc import Hashable, Mapping, Sequence
from itertools import product
from math import prod

from recsys.config import Model
from recsys.models.aitm import AITM
from recsys.models.ranker import Ranker
from recsys.objectives import Objective

TABLE = "inputs.embeddings.tables.table"
Labels = Sequence[Hashable]  # of the places along an axis, all different

_WIRING: dict[str, dict[str, str]] = {
    "single_task": {r"net\..*": "k"},
    "shared_bottom": {},
    "soft": {r"nets\.first\..*": "* * k.*", r"nets\.rest\..*": "k"},
    "gated_independent": {r"nets\.first\..*": "* * k.*", r"nets\.rest\..*": "k"},
    "concat_task": {r"net\..*\.joint\.weight": "* *+k"},
    "add_task": {r"net\..*\.shift\.weight": "* k"},
    "film": {r"net\..*\.(scale|shift)\.weight": "* k"},
    "cross_stitch": {r"first\..*": "* * k.*", r"rest\..*": "k", r"stitches\..*": "k k"},
    "sluice": {r"first\..*": "* * k.*", r"rest\..*": "k", r"stitches\..*": "k.* k.*", r"layers\.mixture": "k"},
    "mtan": {r"masks\..*": "k"},
    "deep_relationship": {r"nets\.first\..*": "* * k.*", r"nets\.rest\..*": "k", r"relations\..*": "k k"},
    "omoe": {},
    "mmoe": {r"gates\.linear\.weight": "* * k.*"},
    "cgc": {r"level\.experts\.own\..*": "k.*", r"level\.gates\..*": "k"},
    "ple": {
        r"levels\..*\.experts\.own\..*": "k.*",
        r"levels\..*\.gates\..*": "k",
        r"levels\..*\.shared_gate\..*": "* * {own_experts}k+{shared_experts}",
    },
    "home": {
        r"task\.own\.(?!norm\.batches).*": "k.*",
        r"task\.(gates|own_self)\..*": "k",
        r"(task\.group|meta\.level\.experts\.own)\.(?!norm\.batches).*": "g.*",
        r"meta\.(level\.gates|group_self)\..*": "g",
        r"meta\.level\.shared_gate\..*": "* * {group_experts}g+{shared_experts}",
    },
    "pepnet": {r"layers\..*": "k", r"layer_gates\..*\.out\..*": "* * k.*"},
    "stem": {r"experts\.own\..*": "k.*", r"gates\..*": "k * {own_experts}k+{shared_experts}"},
    "aitm": {r"(below|towers)\..*": "k"},
}

# The frame's tensors, by the number of embedding tables: one, one per objective, or one shared and one per objective.
_COMMON = {r"towers\..*": "k", r"inputs\.skip\.weight": "* * k", r"bias_tower\..*": "* k"}
_ONE_TABLE = {r"cross\.out\.weight": "* * k"}
_OWN_TABLES = {r"(hidden|inputs\.attention|cross)\..*": "k"}
_SHARED_AND_OWN_TABLES = {r"(hidden|inputs\.attention)\..*": "1+k", r"cross\..*": "k"}


class Wiring:
    """The names for one ranker. `codes`: what the codes of position and device stand for."""

    def __init__(self, ranker: Ranker, options: Model, objectives: Sequence[Objective], codes: tuple[Labels, Labels]) -> None:
        self.objectives = tuple(objective.name for objective in objectives)
        self.groups = tuple(sorted({objective.group for objective in objectives}))
        self.way = options.architecture
        self.numbers = getattr(options, options.architecture).model_dump()
        self.told = (
            tuple(getattr(ranker.architecture, "columns", ())) or self.objectives
        )  # columns of the descriptor that tells a net the task
        self.tables = ranker.inputs.num_tables
        self.of_tables = _of_tables(ranker)
        self.receivers = ranker.architecture.transfer.steps if isinstance(ranker.architecture, AITM) else ()
        self.codes = codes
        self.columns = tuple(self._named(column) for column in ranker.inputs.columns)
        features = tuple(column for column in self.columns if column[0] not in ("attention", "padding"))
        plain = tuple(column for column in features if column[0] != "slot")
        entries = ranker.inputs.entry_columns
        self._read: dict[tuple[str, int], Labels] = {  # axes over inputs, by name and axis
            ("hidden.layers.0.weight", 1): self.columns,
            ("inputs.attention.query.weight", 1): features,
            ("inputs.attention.key.weight", 2): entries,
            ("inputs.attention.value.weight", 1): entries,
            ("inputs.skip.weight", 1): plain,
            ("cross.down.weight", 1): self.columns,
            ("cross.up.weight", 2): self.columns,
            ("cross.up.bias", 2): self.columns,
            ("cross.out.weight", 1): self.columns,
        }

    @property
    def table_labels(self) -> Labels:
        """The labels of the embedding tables, which lie one after another."""
        return self._labels(("1", "k", "1+k")[self.of_tables], self.tables, self.objectives)

    def reads(self, name: str, axis: int) -> bool:
        """Return whether an axis runs over the columns of the inputs, or of a history's entry."""
        return (name, axis) in self._read

    def axes(self, name: str, shape: Sequence[int]) -> list[Labels]:
        """Return the labels of every axis of the tensor `name`; not for the embedding table, whose rows are the vocabulary's."""
        words = self._words(name)
        return [self._axis(name, axis, words[axis] if axis < len(words) else "*", size) for axis, size in enumerate(shape)]

    def _axis(self, name: str, axis: int, word: str, size: int) -> Labels:
        if (name, axis) in self._read:
            labels = self._read[name, axis]
        elif name.startswith("bias_tower.") and axis == 0:
            of_positions, of_devices = self.codes
            of_tables = {"position": of_positions, "device": of_devices, "together": tuple(product(of_positions, of_devices))}
            labels = of_tables[name.rpartition(".")[2]]
        elif axis == 0 and (found := re.fullmatch(r"architecture\.transfer\.handed\.(\d+)\..*", name)):
            step = self.receivers[int(found[1])]
            labels = tuple((self.objectives[a], self.objectives[b]) for a, b in zip(step.sources, step.receivers, strict=True))
        else:
            labels = self._labels(word, size, self.told if name.startswith("architecture.") else self.objectives)
        assert len(labels) == size, f"{name}: found an axis of {size}, expected {len(labels)} places"
        return labels

    def _words(self, name: str) -> list[str]:
        return _words_of(name, self.way, self.of_tables).format(**self.numbers).split()

    def _labels(self, word: str, size: int, objectives: Sequence[str]) -> Labels:
        factors, names = word.split("."), {"k": objectives, "g": self.groups}
        known = prod(len(_blocks(factor, 0, names)) for factor in factors if "*" not in factor)
        parts = [_blocks(factor, size // known, names) for factor in factors]
        return parts[0] if len(parts) == 1 else tuple(product(*parts))

    def _named(self, column: tuple[str, Hashable, int]) -> tuple[str, Hashable, int]:
        """Replace a code of a position or a device by what the code stands for; leave other columns as they are."""
        kind, name, place = column
        return (kind, self.codes[int(name)][place], 0) if kind == "code" else column  # type: ignore[call-overload]


def axis_of_objectives(ranker: Ranker, way: str, name: str) -> int | None:
    """Return the axis of a parameter that holds one equal block per objective, in their order; None where there is no such axis."""
    of_tables = _of_tables(ranker)
    if name == TABLE:
        return 0 if of_tables == 1 else None
    words = _words_of(name, way, of_tables).split()
    return words.index("k") if "k" in words else None


def _of_tables(ranker: Ranker) -> int:
    """Return 0 for one table for all, 1 for one table per objective, 2 for a shared one besides."""
    return type(ranker.architecture).num_tables(2) - 1


def _words_of(name: str, way: str, of_tables: int) -> str:
    """Return the words of a tensor's axes, one after another; empty where the tensor stands in no table."""
    by_tables = (_ONE_TABLE, _OWN_TABLES, _SHARED_AND_OWN_TABLES)[of_tables]
    patterns = {rf"architecture\.(?:{pattern})": words for pattern, words in _WIRING[way].items()} | _COMMON | by_tables
    return next((words for pattern, words in patterns.items() if re.fullmatch(pattern, name)), "")


def _blocks(factor: str, size: int, names: Mapping[str, Sequence[str]]) -> Labels:
    """Return the labels of one factor; a `*` in it takes what the other parts leave of `size`."""
    found = {
        part: [(place, n) for n in range(int(part))]
        if part.isdecimal()
        else [(name, n) for name in names[part[-1]] for n in range(int(part[:-1] or 1))]
        for place, part in enumerate(factor.split("+"))
        if part != "*"
    }
    rest = size - sum(len(labels) for labels in found.values())
    return tuple(label for part in factor.split("+") for label in found.get(part, [(-1, n) for n in range(rest)]))
