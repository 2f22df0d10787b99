"""The state of a training: everything needed to go on as if nothing had happened, and how it is saved."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from recsys.balancing import Balancer
from recsys.config import Train
from recsys.models.ranker import TABLE
from recsys.scoring.member import Member
from recsys.spread import Spread, own_rows
from recsys.training.averaging import Average
from recsys.training.checkpoint import Saved
from recsys.training.finite import Watch
from recsys.training.rounds import Phase
from recsys.training.rowwise_adagrad import RowwiseAdagrad
from recsys.training.teacher import Teacher

# Legend: K objectives.


_COPIED = ("member.", "balancer.", "average.")  # tensors that are copied into those that stand
RANDOM = "random."  # of the tensors that hold torch's random state
CHOSEN_PREFIX = "chosen."  # of a member's tensors as the choosing phase left them, among what is kept of that phase


@dataclass
class Place:
    """The place where a training stands. What lies before it is done, and is never done again.

    In time order a round is one of the next day, and steps are counted from the first day on.
    """

    member: int = 0
    phase: Phase = "choose"
    round: int = 0  # rounds of the phase, or of the next day, that are done, their validation included
    step: int = 0  # steps of the next round that are done
    steps: int = 0  # steps of the phase that are done
    day: str = ""  # in time order: the last day that is done; empty: none
    values: str = ""  # in time order: the day whose vocabulary the tables have; empty: that of the warm days
    late: dict[str, int] = field(default_factory=dict)  # days that are done → the last day on which one of their labels becomes known
    learned: dict[str, str] = field(default_factory=dict)  # where states are kept: what was learned (recsys/lineage.py) → its content


@dataclass
class Choice:
    """Early stopping of a group of objectives: the best round so far (1 = the first), its validation loss, and the rounds since."""

    best: int = 0  # 0: there has been no validation loss
    loss: float | None = None
    worse: int = 0


def is_of_rows(name: str) -> bool:
    """Return whether a saved tensor holds something of each row of the embedding tables: these, and what their optimiser keeps of a row."""
    return name.endswith(f".{TABLE}") or name.startswith("tables.")


@dataclass
class State:
    """A member in training. It changes only between two calls of `Guard.look`, so it is whole whenever it is saved."""

    member: Member
    balancer: Balancer
    dense: Optimizer
    tables: RowwiseAdagrad
    place: Place
    choices: list[Choice] = field(default_factory=list)  # one per group of Work.groups
    best: dict[str, Tensor] = field(default_factory=dict)  # the member's state, with each group as at its best round; empty at first
    kept: dict[str, Tensor] = field(default_factory=dict)  # what the choosing phase leaves: predictions, looks, the member if asked
    average: Average | None = None  # of the phase's steps so far; None: the parameters themselves are judged, kept and served
    window_4K: Tensor = field(default_factory=lambda: torch.empty(0))  # Σ loss·count, Σ count, Σ weight, steps since the last line
    products_KK: Tensor | None = None  # products of gradients (between.products_between), until the next line of the journal
    teacher: Teacher | None = None  # of a distillation; the same again in a restored training, so not saved
    heads: list[nn.Parameter] | None = None  # the heads (gradients.heads_of), once a gradient method needs them; not saved

    watch: Watch = field(init=False)

    def __post_init__(self) -> None:
        """Watch what the optimisers learn: at once on a CPU, and where a step waits for the device anyway."""
        learned = {id(parameter) for optimiser in (self.dense, self.tables) for parameter in _parameters(optimiser)}
        named = [(name, parameter) for name, parameter in self.member.named_parameters() if id(parameter) in learned]
        device = self.member.losses.start_K.device
        at_once = device.type == "cpu" or self.balancer.waits
        holders = self.member.ranker.tables.holders
        self.watch = Watch(len(self.member.losses.objectives), named, device, at_once=at_once, holders=holders)

    @property
    def judged(self) -> Member:
        """The member as it would be served now: with the averages of its parameters where they are averaged."""
        return self.member if self.average is None else self.average.member

    def release(self) -> None:
        """Give back the memory of the embedding tables: the state is needed no more, though others still hold it."""
        self.best.clear()
        self.tables.state.clear()
        table = self.member.ranker.tables.table
        table.data = table.data[:0].clone()
        self.average = None

    def settle(self) -> None:
        """Give the member the parameters that the phase leaves: each group's as at its best round, else those that would be served now."""
        self.member.load_state_dict(self.best or self.judged.state_dict())
        self.average = None

    def tensors(self) -> dict[str, Tensor | Spread]:
        """Return everything that is saved. Raise NotFiniteError where a step was bad, so that no checkpoint goes on after it."""
        self.watch.read()
        return self.spread(self.own_tensors())

    def spread(self, own: Mapping[str, Tensor]) -> dict[str, Tensor | Spread]:
        """Return the same tensors, with those marked whose rows are spread over processes."""
        tables = self.member.ranker.tables
        if tables.holders.size == 1:
            return dict(own)
        return {
            name: Spread(tensor, tables.num_tables, tables.holders, tables.num_rows) if is_of_rows(name) else tensor
            for name, tensor in own.items()
        }

    def own_tensors(self) -> dict[str, Tensor]:
        """Return this process's part of everything that is saved."""
        device = self.window_4K.device
        random = {f"{RANDOM}cpu": torch.get_rng_state()}
        if device.type == "cuda":
            random[f"{RANDOM}cuda"] = torch.cuda.get_rng_state(device)
        return {
            **_prefixed("member", self.member.state_dict()),
            **_prefixed("balancer", self.balancer.state_dict()),
            **_prefixed("dense", _optimiser_tensors(self.dense)),
            **_prefixed("tables", _optimiser_tensors(self.tables)),
            **_prefixed("best", self.best),
            **_prefixed("kept", self.kept),
            **({} if self.average is None else _prefixed("average", self.average.means)),
            "window": self.window_4K,
            **({} if self.products_KK is None else {"products": self.products_KK}),
            **random,
        }

    def facts(self) -> dict[str, Any]:
        averaged = None if self.average is None else self.average.steps
        return {"place": asdict(self.place), "choices": [asdict(choice) for choice in self.choices], "averaged": averaged}

    def restore(self, saved: Saved) -> None:
        """Take everything over from a checkpoint, torch's random state included. So this comes last before the training goes on.

        The tensors are copied. Of those of tables that are spread over processes, this process's rows are.
        """
        tables = self.member.ranker.tables
        tensors = {}
        for name, tensor in saved.tensors.items():
            own = own_rows(tensor, tables.num_tables, tables.holders) if is_of_rows(name) else tensor
            tensors[name] = own if name.startswith(_COPIED) else own.clone()
        self.load(tensors, saved.facts)

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Take over what `own_tensors` and `facts` have returned. The tensors become the state's own, or are copied (`_COPIED`)."""
        self.member.load_state_dict(_under("member", tensors))
        self.balancer.load_state_dict(_under("balancer", tensors))
        _load_optimiser(self.dense, _under("dense", tensors))
        _load_optimiser(self.tables, _under("tables", tensors))
        self.best, self.kept = _under("best", tensors), _under("kept", tensors)
        self.average = None  # there is none, or the phase has settled
        if facts["averaged"] is not None:
            self.average = Average(self.member, facts["averaged"], _under("average", tensors))
        self.window_4K = tensors["window"].to(self.window_4K.device)
        self.products_KK = tensors.get("products")
        self.place = Place(**facts["place"])
        self.choices = [Choice(**choice) for choice in facts["choices"]]
        torch.set_rng_state(tensors[f"{RANDOM}cpu"])
        device = self.window_4K.device
        if device.type == "cuda" and f"{RANDOM}cuda" in tensors:  # with `device = "auto"` a training may continue on another device
            torch.cuda.set_rng_state(tensors[f"{RANDOM}cuda"], device)


def optimisers(member: Member, train: Train, learning_rate: float, frozen: Iterable[nn.Parameter] = ()) -> tuple[AdamW, RowwiseAdagrad]:
    """Build AdamW for the dense weights (β2 .99: a pass has few steps), and row-wise Adagrad for the embedding tables.

    A row's vector and each of its linear weights have rates of their own (`Inputs.blocks`). So neither the architecture nor the number of
    objectives sets the vectors' rate. The bias tower's tables divide the rate among them, so that their sum moves as one table would.
    `frozen` parameters are left out. The losses' parameters (thresholds) are positions on the scale of the outputs, so they are treated
    like biases.
    """
    groups = member.ranker.parameter_groups()
    # At the whole rate each, three tables cost click .0015 of AUC on the demo's validation day (seed 7, three starts: .7430 against .7445).
    of_positions = train.embedding_learning_rate / max(1, len(groups.positions))
    decays: list[dict[str, Any]] = [
        {"params": groups.weights, "weight_decay": train.weight_decay, "lr": learning_rate},
        {"params": [*groups.biases, *member.losses.parameters()], "weight_decay": 0.0, "lr": learning_rate},
        {"params": groups.positions, "weight_decay": 0.0, "lr": of_positions},
    ]
    left_out = {id(parameter) for parameter in frozen}
    for group in decays:
        group["params"] = [parameter for parameter in group["params"] if id(parameter) not in left_out]
    dense = AdamW([group for group in decays if group["params"]], betas=(0.9, 0.99), fused=True)
    blocks, rate = member.ranker.inputs.blocks, train.embedding_learning_rate
    tables = RowwiseAdagrad(groups.embedding, blocks=blocks, lr=rate, decay=train.embedding_decay)
    for optimiser in (dense, tables):
        for group in optimiser.param_groups:
            group["full_lr"] = group["lr"]  # the schedule scales it
    return dense, tables


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def _parameters(optimiser: Optimizer) -> list[Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _optimiser_tensors(optimiser: Optimizer) -> dict[str, Tensor]:
    """Return `INDEX.NAME` → the running tensors of each parameter that has any; in AdamW, after its first update."""
    return {
        f"{index}.{name}": tensor
        for index, parameter in enumerate(_parameters(optimiser))
        for name, tensor in optimiser.state.get(parameter, {}).items()
    }


def _load_optimiser(optimiser: Optimizer, tensors: dict[str, Tensor]) -> None:
    for index, parameter in enumerate(_parameters(optimiser)):
        found = _under(str(index), tensors)
        optimiser.state[parameter] = {name: tensor.to(parameter.device) for name, tensor in found.items()}
