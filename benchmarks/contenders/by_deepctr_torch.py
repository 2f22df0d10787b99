"""DeepCTR-Torch's MMOE and fit() on the arrays of `peers.py`."""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from deepctr_torch.inputs import DenseFeat, SparseFeat
from deepctr_torch.models.multitask.mmoe import MMOE


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("arrays", type=Path)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arrays = np.load(arguments.arrays)
    columns = [SparseFeat(f"id_{n}", vocabulary_size=int(size), embedding_dim=16) for n, size in enumerate(arrays["vocabularies"])]
    columns += [DenseFeat(f"x_{n}", 1) for n in range(arrays["numbers"].shape[1])]
    x = {f"id_{n}": column for n, column in enumerate(arrays["ids"].T)} | {f"x_{n}": column for n, column in enumerate(arrays["numbers"].T)}
    names = [f"y_{n}" for n in range(arrays["labels"].shape[1])]
    model = MMOE(
        columns, num_experts=8, expert_dnn_hidden_units=(256, 128), gate_dnn_hidden_units=(), tower_dnn_hidden_units=(64,),
        task_types=["binary"] * len(names), task_names=names, l2_reg_linear=0, l2_reg_embedding=0, device="cpu",
    )  # fmt: skip
    model.compile("adam", loss=["binary_crossentropy"] * len(names), metrics=None)
    for _ in range(2):
        start = time.perf_counter()  # of the second pass
        model.fit(x, arrays["labels"], batch_size=arguments.batch, epochs=1, verbose=0)
    print(json.dumps({"rows_per_second": len(arrays["labels"]) / (time.perf_counter() - start)}))


if __name__ == "__main__":
    main()
