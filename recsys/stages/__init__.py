"""The way from a raw log to a page, as one list of stages. A stage's code is imported when the stage runs."""

from recsys.stages.baselines import BASELINES, are_to_be_fitted, baseline_kinds, baseline_run, require_libraries, single_tasks
from recsys.stages.calibrate import CALIBRATE
from recsys.stages.closed_days import require_later_row, require_said_closed
from recsys.stages.encode import ENCODE, encoded_of
from recsys.stages.evaluate import EVALUATE, require_named_runs
from recsys.stages.features import FEATURES, bring_states_forward, examples_of, states_of
from recsys.stages.identity import claim, known_config, run_identity, run_name, stored_pipeline
from recsys.stages.importance import IMPORTANCE_STAGE
from recsys.stages.ingest import INGEST, row_account
from recsys.stages.progressive import PROGRESSIVE_STAGE, predicted_before, predicted_days
from recsys.stages.report import REPORT_STAGE
from recsys.stages.score import SCORE, raw_predictions
from recsys.stages.stage import Job, Part, Stage, contents, peak_mib
from recsys.stages.status import Status, statuses
from recsys.stages.track import TRACK, require_tracking
from recsys.stages.train import TRAIN, drop_learned, is_to_be_trained, learned_of, learned_states

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        INGEST,
        FEATURES,
        ENCODE,
        TRAIN,
        SCORE,
        BASELINES,
        CALIBRATE,
        EVALUATE,
        PROGRESSIVE_STAGE,
        IMPORTANCE_STAGE,
        REPORT_STAGE,
        TRACK,
    )
}

__all__ = [
    "STAGES",
    "Job",
    "Part",
    "Stage",
    "Status",
    "are_to_be_fitted",
    "baseline_kinds",
    "baseline_run",
    "bring_states_forward",
    "claim",
    "contents",
    "drop_learned",
    "encoded_of",
    "examples_of",
    "is_to_be_trained",
    "known_config",
    "learned_of",
    "learned_states",
    "peak_mib",
    "predicted_before",
    "predicted_days",
    "raw_predictions",
    "require_later_row",
    "require_libraries",
    "require_named_runs",
    "require_said_closed",
    "require_tracking",
    "row_account",
    "run_identity",
    "run_name",
    "single_tasks",
    "states_of",
    "statuses",
    "stored_pipeline",
]
