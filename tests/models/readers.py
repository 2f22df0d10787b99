"""Which objectives' outputs read each number of a ranker, by their gradients; and which numbers should be read by one alone."""

import re

import torch

# Of each architecture, the parameters that hold a block for each objective which only its own loss may change.
OWN = {
    "single_task": "net",
    "soft": "nets",
    "gated_independent": "nets",
    "concat_task": r"net\..*\.joint\.weight",
    "add_task": r"net\..*\.shift",
    "film": r"net\..*\.(scale|shift)",
    "cross_stitch": r"stitches\.1",
    "sluice": r"stitches\.1|layers",
    "mtan": "masks",
    "deep_relationship": "nets",
    "mmoe": "gates",
    "cgc": r"level\.(experts\.own|gates)",
    "ple": r"levels\.1\.experts\.own|levels\..\.gates",
    "home": r"task\.(own|gates|own_self)",
    "pepnet": r"layers\.|layer_gates\..*\.out",
    "stem": r"experts\.own|gates",
}
FRAME = r"towers|inputs\.skip|bias_tower|inputs\.embeddings|cross\.out"
OF_TABLES = r"|hidden|inputs\.attention|cross"  # where objectives own tables


def readers(ranker, example):
    """Name of a parameter → [K, …], whether the gradient of objective k's output is not zero there."""
    outputs_BK = ranker(example, position="logged").outputs_BK
    draws_B1 = torch.randn(len(outputs_BK), 1, generator=torch.Generator().manual_seed(0))
    mixed_K = (draws_B1 * outputs_BK).sum(0)  # a normalisation can make the gradient of a plain sum zero
    names, parameters = zip(*ranker.named_parameters(), strict=True)
    found = [torch.autograd.grad(mixed, parameters, retain_graph=True, materialize_grads=True) for mixed in mixed_K]
    return {name: torch.stack([grad.to_dense() for grad in grads]) != 0 for name, *grads in zip(names, *found, strict=True)}


def own_blocks(ranker, architecture, name, read_K):
    """[K, K], whether objective k reads the block that by its words is objective j's own; None where it should have no such block."""
    own = FRAME + (OF_TABLES if ranker.inputs.num_tables > 1 else "")
    own += rf"|architecture\.({OWN[architecture]})" if architecture in OWN else ""
    if not re.match(own, name):
        return None
    num = len(read_K)
    words = [word.split(".")[0] for word in ranker.words(name)]
    axis = next(axis for axis, word in enumerate(words) if word[-1] in "kz")
    read_KN = read_K.movedim(1 + axis, 1)
    blocks = {"*+": read_KN.shape[1], "1+": 1 + num}.get(words[axis][:2], num)  # those of nobody come first
    return read_KN.unflatten(1, (blocks, -1))[:, -num:].flatten(2).any(2)
