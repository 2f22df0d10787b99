"""The runbook knows every exit code and every warning."""

import re
from pathlib import Path

import pytest

from recsys import errors
from recsys.cli.arguments import EXIT_CODES

ROOT = Path(__file__).resolve().parent.parent
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
CODE = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "recsys").rglob("*.py")))


def test_every_exit_code_has_a_row() -> None:
    codes = {0, 1, *(value for name, value in vars(errors).items() if name.startswith("EXIT_"))}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", RUNBOOK, re.MULTILINE)} == codes
    assert all(re.search(rf"\b{code}\b", EXIT_CODES) for code in codes)


@pytest.mark.parametrize(
    ("in_code", "in_runbook"),
    [
        ("training steps (", "found … training steps"),
        ("found few labels to learn from", "found few labels to learn from"),
        ("found one answer in all labels of", "found one answer in all labels of"),
        ("with one member, expected several", "found model.input_share = … with one member"),
        ("on the warm days (up to", "found one answer in all labels of … on the warm days"),
        ("(train.init_from) to have learned all days up to", "(train.init_from) to have learned all days up to"),
        ("warning: found other rows of", "found other rows of … than were learned"),
        ("warning: found other labels that became known on", "found other labels that became known on … than were learned"),
        ("warning: found no journal of", "found no journal of"),
        ("changed, and all days take what stands there now", "changed, and all days take what stands there now"),
        ("is shorter, or another one, than its checkpoint says", "is shorter, or another one, than its checkpoint says"),
        ("free on its disk, expected about", "free on its disk, expected about"),
        ("pairs of users and items in the window", "pairs of users and items`"),
        ("of which rounding to millionths changes", "of which rounding to millionths changes"),
        ("on days that the model has learned from", "on days that the model has learned from"),
        ("found a row for none of the", "found a row for none of"),
        ("whom the log does not know", "whom the log does not know"),
        ("name an item that their list has already", "name an item that their list has already"),
        ("the log has impressions through", "the log has impressions through"),
    ],
)
def test_what_is_said_stands_there(in_code: str, in_runbook: str) -> None:
    assert in_code in CODE
    assert in_runbook in RUNBOOK


def test_every_module_that_warns_has_its_rows() -> None:
    """A new warning needs a row in the runbook, and its module a place here."""
    warning = re.compile(r'"(\{?[a-z]+\}?: )?warning: ')
    found = {path.stem for path in (ROOT / "recsys").rglob("*.py") if warning.search(path.read_text(encoding="utf-8"))}
    training = {"train", "train_model", "day_by_day", "transfer"}
    assert found == {"ingestion", "build", *training, "predict", "room", "joined", "pipeline_verbs", "judge"}
