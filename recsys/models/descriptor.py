"""The description of a task for the net that works for it. Shape letters: K objectives, Z width of a descriptor."""

from typing import NamedTuple

import torch
from torch import Tensor

from recsys.config.architectures import Descriptor
from recsys.models.architecture import Look, Setting


class TaskDescriptors(NamedTuple):
    """The descriptors z_k, one row per objective (CS330, lecture 2: the task descriptor)."""

    values_KZ: Tensor
    columns: tuple[str, ...]

    def look(self) -> dict[str, Look]:
        """Return the descriptors for a report; nothing where the rows are the objectives' places."""
        return {} if self.columns == () else {"task descriptors": Look(self.values_KZ.detach().float(), self.columns)}


def task_descriptors(kind: Descriptor, setting: Setting) -> TaskDescriptors:
    """Return the descriptors of all objectives.

    `kind` "one_hot": the objective's place. "metadata": the objective's kind and group, one-hot over those that occur, and its base rate.
    The base rate is the logit of a binary objective, standardised over the binary ones, and 0 for the others. It has a column where at
    least two objectives are binary. The columns follow from the objectives alone, so that a saved model finds its shape.
    """
    if kind == "one_hot":
        return TaskDescriptors(torch.eye(setting.num_objectives), ())
    objectives = setting.objectives
    columns = [f"kind = {word}" for word in sorted({objective.kind for objective in objectives})]
    columns += [f"group = {word}" for word in sorted({objective.group for objective in objectives})]
    values = [[float(column in (f"kind = {o.kind}", f"group = {o.group}")) for column in columns] for o in objectives]
    values_KZ = torch.tensor(values)
    binary_K = torch.tensor([objective.is_probability for objective in objectives])
    if binary_K.sum() >= 2:
        columns.append("base rate")
        values_KZ = torch.cat([values_KZ, _standardised(setting.starts_K, binary_K).unsqueeze(1)], dim=1)
    return TaskDescriptors(values_KZ, tuple(columns))


def _standardised(starts_K: Tensor, binary_K: Tensor) -> Tensor:
    """Standardise over the binary objectives to mean 0 and standard deviation 1 (0 where all are equally likely); return 0 elsewhere."""
    logits = starts_K.double()[binary_K]
    spread = logits.std(correction=0)
    standard = (logits - logits.mean()) / spread if spread > 0 else torch.zeros_like(logits)
    return torch.zeros(len(starts_K)).masked_scatter(binary_K, standard.float())
