"""The files that calibration leaves in a run's folder: calibration.json, and predictions.parquet with the uncalibrated columns kept."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
from pydantic import ValidationError

from recsys import artifacts
from recsys.artifacts import Origin
from recsys.calibration.calibration import Calibration, Method, fit
from recsys.errors import ArtifactError
from recsys.objectives import Objective
from recsys.predictions import known_before
from recsys.progress import Console

_GROUP_ROWS = 131_072


def calibrate_file(
    source: Path,
    target: Path,
    maps: Path,
    objectives: Sequence[Objective],
    method: Method,
    *,
    until: int | None,
    origin: Origin,
    console: Console,
) -> None:
    """Fit maps to the validation rows of `source` and write it, calibrated, to `target`, which may be the same file.

    Fitting is learning. So it uses only labels that are known before the moment `until` (ms UTC; None: all), at which the test days begin.

    The maps are written to `maps` first, and then read from there and applied. So the saved maps are the maps that were used. The console
    names each objective that stays as it is, with its reason. Raises as `fit` does.
    """
    run = target.parent.name
    predictions = artifacts.read_table(source)
    text = fit(known_before(predictions, until), objectives, method, run=run).model_dump_json(indent=1) + "\n"
    origin.write_file(maps, lambda draft: draft.write_text(text, encoding="utf-8"))
    calibration = read(maps)
    for name, reason in calibration.left.items():
        console.say(f"calibrate {run}: {name} stays as it is: {reason}")
    table = calibration.applied(predictions, objectives, run=run)
    origin.write_file(target, lambda draft: pq.write_table(table, draft, compression="zstd", row_group_size=_GROUP_ROWS))


def read(path: Path) -> Calibration:
    """Read the saved maps. Raises ArtifactError where the file is absent, or does not match its manifest or its form."""
    artifacts.verify(path)
    try:
        return Calibration.model_validate_json(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, ValidationError) as error:
        what = " ".join(str(error).split())
        raise ArtifactError(f"{path}: found maps of another version ({what}). Fix: delete it and run the stage calibrate again") from error
