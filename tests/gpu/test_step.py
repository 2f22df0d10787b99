"""One step on a CUDA device: it waits for nothing, has a CPU's gradients, and no bad number reaches a weight.

Torch's own look-out for waits does not see those of sparse tensors, which large tables have.
"""

import copy
from collections.abc import Iterator

import pytest
import torch

from recsys.config import Train
from recsys.encoding.layout import Batch
from recsys.models import ARCHITECTURES
from recsys.nn import embeddings
from recsys.scoring.devices import Compute
from recsys.training.descend import descend
from recsys.training.finite import NotFiniteError
from recsys.training.state import Place, State, optimisers
from tests.models import factory
from tests.training.states import EVERY_KIND, FP32, THAT_WAIT_FOR_NOTHING, batch_of, moving, state_of

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

CUDA = Compute(torch.device("cuda"), "fp32")


@pytest.fixture(params=[False, True], ids=["small tables", "large tables"], autouse=True)
def tables(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give tables a dense or a sparse gradient."""
    monkeypatch.setattr(embeddings, "DENSE_ROWS", 0 if request.param else embeddings.DENSE_ROWS)


@pytest.fixture
def waiting_is_an_error() -> Iterator[None]:
    yield
    torch.cuda.set_sync_debug_mode("default")


def on_cuda(state: State) -> State:
    """Return the same start on the device."""
    member, balancer = copy.deepcopy(state.member).to("cuda"), copy.deepcopy(state.balancer).to("cuda")
    return State(member, balancer, *optimisers(member, Train(), 0.002), Place(), window_4K=state.window_4K.to("cuda"))


def there(batch: Batch) -> Batch:
    return Batch(*(tensor.to("cuda") for tensor in batch))


@pytest.mark.parametrize(
    ("architecture", "method", "kinds"),
    [
        *((architecture, "fixed", factory.KINDS) for architecture in ARCHITECTURES),
        *(("mmoe", method, factory.KINDS) for method in THAT_WAIT_FOR_NOTHING),
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
def test_its_gradients_are_those_of_a_cpu(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = state_of("fixed", architecture)
    other, found = on_cuda(here), []
    for state, batch, compute in ((here, batch_of(), FP32), (other, there(batch_of()), CUDA)):
        for optimiser in (state.dense, state.tables):  # the gradients stay
            monkeypatch.setattr(optimiser, "step", lambda: None)
            monkeypatch.setattr(optimiser, "zero_grad", lambda set_to_none: None)
        descend(state, batch, compute)
        of_step = {name: parameter.grad for name, parameter in state.member.named_parameters() if parameter.grad is not None}
        found.append({name: gradient.to_dense().cpu() for name, gradient in of_step.items()})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-3, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")


def test_from_a_bad_step_on_nothing_moves() -> None:
    state, batch = on_cuda(state_of()), there(batch_of())
    descend(state, batch, CUDA)
    before = moving(state)
    state.place.steps = 1
    descend(state, batch._replace(dense=batch.dense.masked_fill(batch.dense == batch.dense[0, 0], torch.inf)), CUDA)
    descend(state, batch, CUDA)
    assert all(map(torch.equal, before, moving(state)))
    with pytest.raises(NotFiniteError, match="losses") as error:
        state.watch.read()
    assert error.value.step == 2
