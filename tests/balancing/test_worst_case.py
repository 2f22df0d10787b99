import json

import pytest
import torch

from recsys import config
from recsys.errors import ArtifactError, ConfigError
from tests.staged import sign

from .factory import balancer, losses


@pytest.fixture
def run(tmp_path):
    def made(*lines):
        (tmp_path / "training.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        sign(tmp_path / "training.jsonl")
        return str(tmp_path)

    return made


def line(part, **loss):
    return {"event": "pass", "part": part, "loss": loss}


def test_group_dro_is_its_closed_form():
    """q after T steps is softmax(η · Σ_t excess_t)."""
    made = balancer("worst_case", rate=0.7, smoothing=0.0)
    excess_K = torch.zeros(3, dtype=torch.float64)
    for step in range(20):
        excess_K += losses(3, step) - 1.0
        torch.testing.assert_close(made(losses(3, step)), 3 * (0.7 * excess_K).softmax(0))


def test_min_max_puts_all_on_the_worst():
    made = balancer("worst_case", (1.0, 1.0, 0.5, 0.0), form="min_max", smoothing=0.0)
    assert made(torch.tensor([0.9, 0.7, 0.8, 5.0])).tolist() == [3.0, 0.0, 0.0, 0.0]
    assert made(torch.tensor([0.6, 0.7, 0.8, 5.0])).tolist() == [0.0, 0.0, 1.5, 0.0]
    assert made(torch.tensor([0.8, 0.7, 0.8, 5.0])).tolist() == [1.5, 0.0, 0.75, 0.0]


def test_losses_are_smoothed_over_batches():
    """Moving averages .8 · 1 + .2 · 0 = .8, then .64, against a steady .7."""
    made = balancer("worst_case", (1.0, 1.0), form="min_max", smoothing=0.8)
    found = [made(torch.tensor([loss, 0.7])).tolist() for loss in (1.0, 0.0, 0.0)]
    assert found == [[2.0, 0.0], [2.0, 0.0], [0.0, 2.0]]


def test_what_a_run_has_reached_can_be_expected(run):
    """The last loss on rows not learned, where there is one; the excess is .1, .3, .2."""
    folder = run(
        line("train", o0=9.0, o1=9.0, o2=0.5),
        line("progressive", o0=9.0, o1=0.4, other=9.0),
        line("validation", o0=0.9, o1=None, o2=None),
        line("validation", o0=0.6, o1=None, o2=None),
        line("train", o0=9.0, o1=9.0),
    )
    made = balancer("worst_case", form="min_max", baseline=folder)
    assert made.expected_K.tolist() == [0.6, 0.4, 0.5]
    assert made(torch.tensor([0.7, 0.7, 0.7])).tolist() == [0.0, 3.0, 0.0]


def test_a_resumed_run_expects_what_it_began_with(run):
    made = balancer("worst_case", baseline=run(line("validation", o0=0.6, o1=0.5, o2=0.4)))
    other = balancer("worst_case", baseline=run(line("validation", o0=0.1, o1=0.1, o2=0.1)))
    other.load_state_dict(made.state_dict())
    assert other.expected_K.tolist() == [0.6, 0.5, 0.4]


def test_a_baseline_that_cannot_be_used_is_told(run, tmp_path):
    with pytest.raises(ConfigError, match=r"balance.worst_case.baseline: found no .*training.jsonl .*Fix: train it first"):
        balancer("worst_case", baseline=str(tmp_path / "none"))
    folder = run(line("validation", o1=0.5, x=0.5))
    with pytest.raises(ConfigError, match=r"found no loss of o0, o2 in .*training.jsonl, expected one of every objective; there are o1, x"):
        balancer("worst_case", baseline=folder)
    (tmp_path / "training.jsonl").write_text("{")
    with pytest.raises(ArtifactError, match=r"training.jsonl: found other bytes"):
        balancer("worst_case", baseline=folder)


def test_a_baselines_path_is_relative_to_where_it_is_written(tmp_path, monkeypatch):
    (tmp_path / "feed.toml").write_text(
        '[source]\nkind = "world"\n[split]\ntrain = ["2024-01-01", "2024-01-02"]\n[[objective]]\nname = "o"\nlabel = "x"\n'
        '[balance]\nmethod = "worst_case"\n[balance.worst_case]\nbaseline = "runs/one"\n'
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert config.load(tmp_path / "feed.toml").balance.worst_case.baseline == tmp_path / "runs" / "one"
    overridden = config.load(tmp_path / "feed.toml", ["balance.worst_case.baseline=runs/two"])
    assert overridden.balance.worst_case.baseline == elsewhere / "runs" / "two"


def test_group_dro_keeps_the_share_of_one_that_is_absent():
    made = balancer("worst_case", rate=1.0)
    share = made(losses(3))[2] / 3
    for step in range(5):
        made(losses(3, step) - 0.5, torch.tensor([True, True, False]))
    assert made.log_q_K.softmax(0)[2].item() == pytest.approx(share.item())
