"""Nets of one shape and of many seeds, trained side by side as one batched model.

Member s computes what the net of seed s computes by itself. Parameters are stacked over a leading axis of seeds, the step is vectorised
over this axis, and Adam works element by element. 16 small nets train in three fifths of the time of 16 loops.

Shape letters: S seeds, B rows, D inputs, K objectives, H width of what the towers read.
"""

import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from recsys.models import ARCHITECTURES, Look, Setting, Shared
from recsys.nn.linear import StackedMLP, stacked, unstacked
from recsys.nn.towers import Towers
from recsys.objectives import Objective
from recsys.options import Options
from studies.synthetic import Rows

REGRESSIONS = (Objective(name="first", kind="regression", label="first"), Objective(name="second", kind="regression", label="second"))


class Net(nn.Module):
    """The parts of the ranker that a table of numbers needs, [B, D] → [B, K].

    They are a shared hidden layer (`d_shared` 0: none), an architecture, and towers.
    """

    def __init__(self, architecture: str, options: Options, *, d_in: int, d_shared: int = 0, d_tower: int = 8) -> None:
        super().__init__()
        starts_K = torch.zeros(len(REGRESSIONS))
        self.hidden = StackedMLP(1, d_in, (d_shared,) if d_shared else ())
        setting = Setting(d_in=self.hidden.d_out, d_tower=d_tower, dropout=0.0, objectives=REGRESSIONS, starts_K=starts_K)
        self.architecture = ARCHITECTURES[architecture](options, setting)
        self.towers = Towers(self.architecture.d_out, (d_tower,), starts_K)

    def forward(self, x_BD: Tensor) -> Tensor:
        outputs_BK: Tensor = self.towers(self._shared(x_BD).outputs_BKH)
        return outputs_BK

    @torch.no_grad()
    def look_at_gates(self, x_BD: Tensor) -> Look:
        """Return what the objectives' gates do on these rows."""
        return self._shared(x_BD).show["gates"]

    def _shared(self, x_BD: Tensor) -> Shared:
        shared: Shared = self.architecture(unstacked(self.hidden(stacked(x_BD.unsqueeze(1)))))
        return shared


class SeedModels:
    """S nets as one. `new` makes one net. It is called once per seed, after torch was seeded with this seed."""

    def __init__(self, new: Callable[[], Net], seeds: Sequence[int]) -> None:
        nets = []
        with torch.random.fork_rng(devices=()):
            for seed in seeds:
                torch.manual_seed(seed)
                nets.append(new())
        values, buffers = stack_module_state(nets)
        assert not buffers, "a net with buffers would need them stacked and written back"
        self.values = {name: value.detach().requires_grad_() for name, value in values.items()}
        self.shape = copy.deepcopy(nets[0]).to("meta")
        self.num = len(nets)

    def __call__(self, x_SBD: Tensor) -> Tensor:
        """Return [S, B, K] outputs. Random numbers (dropout, in training) differ from seed to seed."""

        def one(values: dict[str, Tensor], x_BD: Tensor) -> Tensor:
            outputs_BK: Tensor = functional_call(self.shape, values, (x_BD,))
            return outputs_BK

        outputs_SBK: Tensor = vmap(one, randomness="different")(self.values, x_SBD)
        return outputs_SBK

    def nets(self) -> Iterator[Net]:
        """Yield each seed's net by itself, for evaluation."""
        for place in range(self.num):
            net = copy.deepcopy(self.shape).to_empty(device="cpu").eval()
            net.load_state_dict({name: value.detach()[place] for name, value in self.values.items()})
            yield net


def train(
    models: SeedModels, next_rows: Callable[[], Rows], *, steps: int, rate: float, every: int = 0, look: Callable[[int], None] | None = None
) -> None:
    """Train each seed on its own, by Adam on the mean squared error over rows and objectives.

    `look(step)` is called after every `every`-th step. The losses of the seeds are summed, so a seed's gradient is that of its own loss.
    """
    optimiser = torch.optim.Adam(list(models.values.values()), lr=rate, fused=True)
    for step in range(1, steps + 1):
        rows = next_rows()
        models.shape.train()
        loss = (models(rows.x_SBD) - rows.y_SBK).square().mean(dim=(1, 2)).sum()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        if look is not None and step % every == 0:
            models.shape.eval()
            with torch.no_grad():
                look(step)
