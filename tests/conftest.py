"""Hooks and fixtures of all tests: which cases run always, which tests share a process, seeds, where the real data lies."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = Path(os.environ.get("RECSYS_SHARED_DATA", ROOT.parent / "shared" / "data"))

# Tests whose further cases are the first ones again on another architecture, source or word, or other mistakes of the same kind: so many
# cases of each run in `make test`, the others with `-m words`, as .ci/run does. Without this, `make test` takes minutes longer.
CASES_THAT_RUN_ALWAYS = {
    "test_check.py::test_each_mistake_is_found_once_whatever_else_is_wrong": 5,
    "test_models.py::test_it_learns_nearly_all_there_is_to_learn": 2,
    "test_models.py::test_every_option_learns": 8,
    "test_models.py::test_a_row_alone_is_a_row_among_others": 12,
    "test_models.py::test_a_log_without_numbers_or_without_categories_is_learned_too": 5,
    "test_kinds.py::test_rows_of_weight_0_are_not_learned_and_thinning_is_not_for_baselines": 1,
    "test_sources.py::test_every_source_gives_the_same_bytes_again": 4,
    "test_sources.py::test_every_source_keeps_the_contract": 6,
    "test_file_forms.py::test_a_log_in_any_form_is_the_same_log": 6,
    "test_file_forms.py::test_a_bad_row_is_found_at_its_line_in_any_form": 6,
    "test_transfer.py::test_with_the_same_encoder_old_objectives_are_predicted_as_before": 2,
    "test_freezing.py::test_what_is_frozen_keeps_its_bits_and_what_is_new_learns": 2,
    "test_init.py::test_the_roles_of_a_log_as_it_lies": 1,
    "test_actions.py::test_an_event_log_becomes_what_a_reading_row_by_row_gives": 4,
    "test_labels.py::test_values_are_those_of_the_engine": 12,
    "test_gradients.py::test_a_heads_number_moves_one_output": 6,
    "test_told.py::test_of_probabilities_it_is_the_expected_loss_of_labels_drawn_by_the_teacher": 3,
    "test_metrics.py::test_labels_and_predictions_of_other_types_are_the_same_numbers": 18,
    "test_counters.py::test_counters_are_what_plain_loops_give": 15,
    "test_balancers.py::test_weights_are_finite": 36,
    "test_new_files.py::test_where_new_files_do_not_do_all_are_read_and_the_reason_is_said": 4,
    "test_command_line.py::test_both_words_for_help": 4,
    "test_status.py::test_a_changed_option_makes_the_stages_stale_that_declare_it_and_no_other": 60,
    "test_budget.py::test_widths_keep_their_proportions_and_nothing_else_changes": 2,
    "test_late_labels.py::test_labels_that_are_known_from_a_day_on_change_no_prediction_up_to_it": 1,
    "test_own_log.py::test_a_mistake_gives_one_message_and_its_exit_code_and_nothing_half_written": 8,
    "test_times.py::test_days_without_a_time_of_day_are_doubtful": 1,
    "test_contract.py::test_a_kept_baseline_is_that_of_a_run_whose_split_ends_with_its_days": 1,
    "test_command_line.py::test_an_interruption_during_the_imports_ends_as_a_later_one_does": 2,
    "test_between.py::test_they_tell_the_cosine_of_all_rows_through_the_noise_of_labels": 1,
    "test_predict.py::test_items_that_stand_twice_in_a_list_are_counted": 1,
    "test_windows.py::test_the_longer_window_holds_the_days_of_the_split": 2,
    "test_build.py::test_a_signal_whose_sums_would_run_over_is_refused": 1,
    "test_guesses.py::test_seconds_by_a_single_letter_are_a_watch_time": 1,
    "test_bad_input.py::test_json_is_told_and_how_to_convert_it": 2,
    "test_guessed_labels.py::test_a_rare_property_is_no_label": 1,
    "test_command_line.py::test_a_signal_while_python_takes_its_modules_down_changes_no_exit_code": 2,
    "test_init.py::test_a_file_that_can_be_no_name_of_a_pipeline_gets_one": 1,
}


@pytest.hookimpl(tryfirst=True)  # before the marks choose
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    met: dict[str, int] = {}
    for item in items:
        name = f"{item.path.name}::{getattr(item, 'originalname', item.name)}"
        most = CASES_THAT_RUN_ALWAYS.get(name)
        if most is None or item.get_closest_marker("words") is not None:
            continue
        met[name] = met.get(name, 0) + 1
        if met[name] > most:
            item.add_marker(pytest.mark.words)


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what was imported: to look through it again and again took 5 to 10 % of the time."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """In `make test`, give all of tests/pipelines to one process: most of it looks at one run, which takes eight seconds.

    With `-m words` the same folder makes many runs, which two processes had better share.
    """
    if config.getvalue("dist") != "loadfile" or "not words" not in config.option.markexpr:
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByFileOrFolder(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            together = "tests/pipelines/"
            return together if nodeid.startswith(together) else str(super()._split_scope(nodeid))

    return ByFileOrFolder(config, log)


@pytest.fixture(autouse=True)
def torch_seed() -> None:
    """A test that draws on the CPU without a seed draws the same numbers whichever tests its process ran before. Imports torch for no test.

    `torch.manual_seed` would seed accelerators, too, and keeps the stack of each call until one is used.
    """
    if torch := sys.modules.get("torch"):
        torch.default_generator.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """What a test writes need not outlive the machine: a third of the time of a small training was spent waiting for its files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def open_bandit() -> Path:
    """The folder of the real Open Bandit files; the test is skipped where they are absent."""
    folder = SHARED_DATA / "open-bandit"
    if not folder.is_dir():
        pytest.skip(f"the real data is not at {folder}")
    return folder


@pytest.fixture(scope="session")
def kuairand_pure() -> Path:
    """The folder of the real KuaiRand-Pure files; the test is skipped where they are absent."""
    folder = SHARED_DATA / "kuairand-pure"
    if not folder.is_dir():
        pytest.skip(f"the real data is not at {folder}")
    return folder
