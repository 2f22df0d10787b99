"""One step on a CUDA device: it waits for nothing, ends where a CPU's step ends, and no bad number reaches a weight."""

import copy
from collections.abc import Iterator

import pytest
import torch

from recsys.balancing import BALANCERS
from recsys.config import Train
from recsys.encoding.layout import Batch
from recsys.models import ARCHITECTURES
from recsys.nn import embeddings
from recsys.scoring.devices import Compute
from recsys.training.descend import descend
from recsys.training.finite import NotFiniteError
from recsys.training.state import Place, State, optimisers
from tests.models import factory
from tests.training.states import FP32, batch_of, state_of

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

CUDA = Compute(torch.device("cuda"), "fp32")
EVERY_KIND = (*factory.KINDS, "huber", "distribution", "weighted_logistic", "d2q", "ordinal", "binary|0")
METHODS = [name for name, method in BALANCERS.items() if not method.waits]


@pytest.fixture(params=[False, True], ids=["small tables", "large tables"], autouse=True)
def tables(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give tables a dense or a sparse gradient."""
    monkeypatch.setattr(embeddings, "DENSE_ROWS", 0 if request.param else embeddings.DENSE_ROWS)


@pytest.fixture
def waiting_is_an_error() -> Iterator[None]:
    yield
    torch.cuda.set_sync_debug_mode("default")


def on_cuda(state: State) -> State:
    """The same start on the device."""
    member, balancer = copy.deepcopy(state.member).to("cuda"), copy.deepcopy(state.balancer).to("cuda")
    return State(member, balancer, *optimisers(member, Train(), 0.002), Place(), window_4K=state.window_4K.to("cuda"))


def there(batch: Batch) -> Batch:
    return Batch(*(tensor.to("cuda") for tensor in batch))


@pytest.mark.parametrize(
    ("architecture", "method", "kinds"),
    [
        *((architecture, "fixed", factory.KINDS) for architecture in ARCHITECTURES),
        *(("mmoe", method, factory.KINDS) for method in METHODS),
        ("mmoe", "fixed", EVERY_KIND),
        ("mmoe", "gradnorm", EVERY_KIND),
    ],
)
def test_it_waits_for_nothing(waiting_is_an_error: None, architecture: str, method: str, kinds: tuple[str, ...]) -> None:
    state, batch = on_cuda(state_of(method, architecture, kinds, dropout=0.1)), there(batch_of(kinds))
    for _ in range(2):  # what is made once: handles, an optimiser's tensors, the heads
        descend(state, batch, CUDA)
    torch.cuda.set_sync_debug_mode("error")
    descend(state, batch, CUDA)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_ends_where_a_cpus_step_ends(architecture: str) -> None:
    here = state_of("fixed", architecture)
    other = on_cuda(here)
    here.dense, here.tables = optimisers(here.member, Train(), 0.002)
    for number in range(3):
        descend(here, batch_of(seed=number), FP32)
        descend(other, there(batch_of(seed=number)), CUDA)
    other.watch.read()
    theirs = other.member.state_dict()
    for name, tensor in here.member.state_dict().items():
        torch.testing.assert_close(theirs[name].cpu(), tensor, rtol=5e-3, atol=5e-3, msg=lambda text, name=name: f"{name}: {text}")


def test_from_a_bad_step_on_nothing_moves() -> None:
    state, batch = on_cuda(state_of()), there(batch_of())
    descend(state, batch, CUDA)
    before = [tensor.clone() for tensor in state.member.state_dict().values()]
    state.place.steps = 1
    descend(state, batch._replace(dense=batch.dense.masked_fill(batch.dense == batch.dense[0, 0], torch.inf)), CUDA)
    descend(state, batch, CUDA)
    assert all(map(torch.equal, before, state.member.state_dict().values()))
    with pytest.raises(NotFiniteError, match="losses") as error:
        state.watch.read()
    assert error.value.step == 2
