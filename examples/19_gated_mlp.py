"""LLaMA's MLP, whole and cut into parts that machines could compute side by side.

    u = x G,   v = x U,   h = silu(u) ⊙ v,   y = h D,     silu(u) = u σ(u),  no biases

One branch, through G, is a gate that says how much of the other branch, through U, is let through.
Column k of G and of U and row k of D are all that unit k has: it meets the others only in the sum
h D = Σ_k h_k D_k. So the units can be dealt out to T machines, each with its slice of the three
matrices, and what the machines give is summed (Megatron-LM calls this tensor parallelism):

    y = Σ_t [silu(x G_t) ⊙ (x U_t)] D_t

The gradients of slices are slices of the gradients, and that of x is summed, as y is. The example
compares: primitive ops and the layer, whole and in T parts, for every T that divides.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.data.files import write_aside

ROWS, ASKED, SEEDS = (18,), "sliced = whole for every T, to 1e-12 times 1 + the largest gradient", 5

Array = Any


def whole(x: Array, G: Array, U: Array, D: Array) -> Array:
    """The formula, from primitive ops: x (N, n), G and U (n, m), D (m, n)."""
    return (tg.silu(x @ G) * (x @ U)) @ D


def sliced(x: Array, G: Array, U: Array, D: Array, parts: int) -> Array:
    """The same, part by part: none of the matrix products needs another part's numbers."""
    slices = [np.split(G, parts, axis=1), np.split(U, parts, axis=1), np.split(D, parts)]
    shares = []
    for t, matrices in enumerate(zip(*slices, strict=True), 1):
        with tg.scope(f"machine {t}"):
            shares.append(whole(x, *matrices))
    return sum(shares[1:], start=shares[0])


def value_and_gradients(y: tg.Tensor, cotangent: Array, leaves: list[tg.Tensor]) -> list[Array]:
    """What is compared: y, and the gradients of Σ cotangent ⊙ y."""
    for leaf in leaves:
        leaf.zero_grad()
    y.backward(cotangent)
    return [y.numpy(), *(leaf.grad for leaf in leaves)]


def of_layer(x: tg.Tensor, matrices: list[Array], cotangent: Array, parts: int) -> list[Array]:
    """`nn.GatedMLP` with these matrices; its weights are (out, in), so they are transposed."""
    n, m = matrices[0].shape
    layer = nn.GatedMLP(n, m, parts, rng=np.random.default_rng(0))
    projections = [layer.gate_proj, layer.up_proj, layer.down_proj]
    for projection, matrix in zip(projections, matrices, strict=True):
        projection.weight.data = matrix.T.copy()
    leaves = [x, *(projection.weight for projection in projections)]
    y, by_x, *by_weights = value_and_gradients(layer(x), cotangent, leaves)
    return [y, by_x, *(gradient.T for gradient in by_weights)]


def differences(seed: int, width: int, units: int) -> dict[int, float]:
    """For each T, the largest difference from the whole, relative to 1 + the largest number."""
    rng = np.random.default_rng(seed)
    shapes = [(4, width), (width, units), (width, units), (units, width)]
    leaves = [tg.Tensor(rng.normal(size=shape), requires_grad=True) for shape in shapes]
    cotangent = rng.normal(size=(4, width))
    reference = value_and_gradients(whole(*leaves), cotangent, leaves)
    matrices = [leaf.data for leaf in leaves[1:]]
    found = {}
    for parts in (T for T in range(1, units + 1) if units % T == 0):
        by_ops = value_and_gradients(sliced(*leaves, parts), cotangent, leaves)
        by_layer = of_layer(leaves[0], matrices, cotangent, parts)
        found[parts] = max(
            np.abs(one - other).max() / (1 + np.abs(one).max())
            for answer in (by_ops, by_layer)
            for one, other in zip(reference, answer, strict=True)
        )
    return found


def run(seed: int, quick: bool = False) -> float:
    """The largest difference over all T."""
    width, units = (8, 12) if quick else (64, 180)
    return max(differences(seed, width, units).values())


def reached(figure: float, quick: bool = False) -> bool:
    """Equal but for rounding; the bound is the same for both sizes."""
    return figure <= 1e-12


def picture(folder: Path) -> Path:
    """Draw the graph of two parts: they meet in the sum, and nowhere else."""
    from viz import draw

    shapes = {"x": (4, 3), "G": (3, 4), "U": (3, 4), "D": (4, 3)}
    named = {name: tg.Tensor(np.ones(shape), True) for name, shape in shapes.items()}
    options: Any = {"names": named, "engine": "builtin", "level": "compact", "direction": "TB"}
    graph = draw(sliced(*named.values(), 2), **options)
    write_aside(path := folder / "19_gated_mlp.svg", graph.save)
    return path


if __name__ == "__main__":
    print("  T   largest difference from the whole, value and gradients")
    for parts, apart in differences(seed=0, width=64, units=180).items():
        print(f"{parts:3}   {apart:.1e}")
    print(f"asked: {ASKED}; reached: {run(0):.1e}")
    print(picture(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-output")))
