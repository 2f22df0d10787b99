import numpy as np
import pytest
import torch

from studies.synthetic import FIGURE_2, SCALE, Synthetic, label_correlation


def test_labels_correlate_as_in_figure_2():
    for cosine, correlation in FIGURE_2.items():
        assert label_correlation(cosine) == pytest.approx(correlation, abs=0.05), cosine


@pytest.mark.parametrize("cosine", [0.5, 0.9, 1.0])
def test_the_closed_form_is_what_rows_have(cosine):
    y_SBK = Synthetic(cosine, range(4)).rows(20_000).y_SBK.numpy()
    pooled_NK = y_SBK.reshape(-1, 2)
    assert np.corrcoef(pooled_NK.T)[0, 1] == pytest.approx(label_correlation(cosine), abs=0.015)


@pytest.mark.parametrize("cosine", [0.0, 0.5, 1.0])
def test_tasks_have_the_cosine_and_the_length(cosine):
    for w_DK in Synthetic(cosine, range(5)).w_SDK:
        gram_KK = w_DK.T @ w_DK / SCALE**2
        torch.testing.assert_close(gram_KK, torch.tensor([[1.0, cosine], [cosine, 1.0]]), atol=1e-5, rtol=0)


def test_labels_are_the_formula_plus_noise():
    stream = Synthetic(0.5, [3])
    rows = stream.rows(50_000)
    z_BK = (rows.x_SBD[0] @ stream.w_SDK[0]).double()
    residual_BK = rows.y_SBK[0] - (z_BK + torch.sin(10 * z_BK) + torch.sin(20 * z_BK + 1))
    assert residual_BK.mean().abs() < 0.002
    assert residual_BK.std() == pytest.approx(0.1, rel=0.02)


def test_a_seed_s_rows_do_not_depend_on_the_others():
    alone, among = Synthetic(0.5, [8]), Synthetic(0.5, [7, 8, 9])
    for _ in range(2):
        one, all_three = alone.rows(5), among.rows(5)
        assert torch.equal(one.x_SBD[0], all_three.x_SBD[1])
        torch.testing.assert_close(one.y_SBK[0], all_three.y_SBK[1])


def test_another_stream_has_other_rows_of_the_same_tasks():
    training, held_out = Synthetic(0.5, [1]), Synthetic(0.5, [1], stream=1)
    assert torch.equal(training.w_SDK, held_out.w_SDK)
    assert not torch.equal(training.rows(3).x_SBD, held_out.rows(3).x_SBD)


def test_the_first_task_is_the_same_at_every_cosine():
    assert torch.equal(Synthetic(0.5, [1]).w_SDK[..., 0], Synthetic(0.9, [1]).w_SDK[..., 0])


def test_a_cosine_above_one_is_refused():
    with pytest.raises(ValueError, match=r"found a task cosine of 1\.5, expected 0 to 1"):
        Synthetic(1.5, [1])
