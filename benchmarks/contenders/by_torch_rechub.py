"""torch-rechub's MMOE and MTLTrainer on the arrays of `peers.py`, with its own loader or with slices of arrays."""

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch_rechub.basic.features import DenseFeature, SparseFeature
from torch_rechub.models.multi_task import MMOE
from torch_rechub.trainers import MTLTrainer
from torch_rechub.utils.data import DataGenerator


class Slices:
    """Batches as slices of shuffled arrays."""

    def __init__(self, x: dict[str, np.ndarray], y: np.ndarray, batch: int) -> None:
        order = np.random.default_rng(0).permutation(len(y))
        self.x, self.y = {name: torch.from_numpy(column[order]) for name, column in x.items()}, torch.from_numpy(y[order])
        self.batch = batch

    def __iter__(self) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]:
        for start in range(0, len(self.y), self.batch):
            some = slice(start, start + self.batch)
            yield {name: column[some] for name, column in self.x.items()}, self.y[some]

    def __len__(self) -> int:
        return math.ceil(len(self.y) / self.batch)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("arrays", type=Path)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--arrays", dest="slices", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arrays = np.load(arguments.arrays)
    sizes = arrays["vocabularies"]
    features = [SparseFeature(f"id_{n}", vocab_size=int(size), embed_dim=16) for n, size in enumerate(sizes)]
    features += [DenseFeature(f"x_{n}") for n in range(arrays["numbers"].shape[1])]
    x = {f"id_{n}": column for n, column in enumerate(np.ascontiguousarray(arrays["ids"].T))}
    x |= {f"x_{n}": column for n, column in enumerate(np.ascontiguousarray(arrays["numbers"].T))}
    y = arrays["labels"]
    tasks = ["classification"] * y.shape[1]
    towers = [{"dims": [64]} for _ in tasks]
    model = MMOE(features, tasks, 8, expert_params={"dims": [256, 128]}, tower_params_list=towers)
    trainer = MTLTrainer(model, task_types=tasks, n_epoch=1)
    if arguments.slices:
        loader = Slices(x, y, arguments.batch)
    else:
        loader, _, _ = DataGenerator(x, y).generate_dataloader(batch_size=arguments.batch, x_val=x, y_val=y, x_test=x, y_test=y)
    for _ in range(2):
        start = time.perf_counter()  # of the second pass
        trainer.train_one_epoch(loader)
    print(json.dumps({"rows_per_second": len(y) / (time.perf_counter() - start)}))


if __name__ == "__main__":
    main()
