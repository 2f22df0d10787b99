"""Train tables that are larger than a process may hold: python -m tests.training.together_memory ENCODED OUT ROWS D_EMBEDDING LIMIT_BYTES.

The encoded days are taken as if their vocabulary had so many rows. RLIMIT_DATA, which counts what a process has for itself and not the
files that it maps, is set once everything is imported. At the end the first process writes the weights to OUT and predicts with them.
"""

import os
import resource
import sys
from dataclasses import replace
from pathlib import Path

import torch

from recsys.errors import RecsysError
from recsys.processes.together import joined, joining
from recsys.progress import Console
from recsys.scoring.devices import Compute, settled
from recsys.scoring.member import loaded_member
from recsys.scoring.tensor_files import mapped_tensors, write_tensors
from recsys.training.checkpoint import Checkpoints
from recsys.training.members import finished, fit_member
from recsys.training.work import Training, batch_of_one, open_training

from .conftest import pipeline_of


def main() -> int:
    encoded, out = Path(sys.argv[1]), Path(sys.argv[2])
    rows, d_embedding, limit = map(int, sys.argv[3:])
    group = joined()
    train = {"order": "shuffled", "passes": 1, "refit": False, "batch_size": 300}
    pipeline = pipeline_of(model={"d_embedding": d_embedding}, train=train)
    pipeline = pipeline.model_copy(update={"split": pipeline.split.model_copy(update={"validation": None})})
    compute = Compute(torch.device("cpu"), "fp32", group)
    checkpoints = Checkpoints(out, "large")
    scratch = out / f"scratch-{group.rank}"
    scratch.mkdir()
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    with settled(compute, deterministic=False):
        training = open_training(pipeline, encoded, compute)
        training = replace(training, layout=training.layout.with_rows(rows))
        try:
            fit_member(training, checkpoints if group.is_first else checkpoints.followed_in(scratch), 0, lambda: False, Console())
        except RecsysError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code
        if group.is_first:
            _export(training, checkpoints, out / "weights.safetensors")
    return 0


def _export(training: Training, checkpoints: Checkpoints, path: Path) -> None:
    done = finished(checkpoints, 0)
    assert done is not None
    write_tensors(path, {name.removeprefix("member."): tensor for name, tensor in done.tensors.items() if name.startswith("member.")})
    member = loaded_member(training.pipeline, training.layout, 0, mapped_tensors(path))
    assert member.ranker(batch_of_one(training), position="missing").outputs_BK.isfinite().all()


if __name__ == "__main__":
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        sys.exit(main())
    with joining():
        code = main()
    sys.exit(code)
