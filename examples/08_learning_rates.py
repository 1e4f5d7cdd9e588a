"""The learning rate: one network, (10, 15, 5) units, trained with five of them.

A step θ ← θ - η ∂E/∂θ is right only near θ. With a small rate η every step is right, and there is
no end to them; with a large one the steps leap over the valley, up to where the sigmoids are flat:
there the gradient is 0, and learning stalls for good. Between them lie the rates that work, and how
large these may be, the gradient does not say. So one tries some, keeps (epoch, loss, rate) of every
run, and compares.

All networks start with the same weights. They are trained side by side, with one more axis in front
of every array: the rates are an array (5, 1, 1) too. The error is E = ½ Σ (O - t)².
"""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.data.files import write_aside
from tinygrad_edu.optim import SGD

ROWS, ASKED, SEEDS = (7,), "E < 1/10 of its start at rate 0.1, and stalled at the largest rate", 5

WIDTHS = (10, 15, 5)
RATES = (0.001, 0.01, 0.1, 1.0, 100.0)
UPDATES = 10_000


def task(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """20 points (20, 10), and five yes-or-no questions about each (20, 5), answered at random."""
    return rng.normal(size=(20, WIDTHS[0])), rng.integers(2, size=(20, WIDTHS[-1])).astype(float)


def first_weights(rng: np.random.Generator) -> list[np.ndarray]:
    """Glorot's weights (n_in, n_out), and biases of 0 (1, n_out), layer by layer."""
    arrays = []
    for shape in pairwise(WIDTHS):
        arrays += [nn.init.xavier_uniform(shape[::-1], rng=rng).T, np.zeros((1, shape[1]))]
    return arrays


def train(seed: int, updates: int = UPDATES) -> np.ndarray:
    """Train a network with each of the rates.

    Returns:
        (updates, rates, 3): epoch, loss and rate, where an epoch is one step with all points.
    """
    rng = np.random.default_rng(seed)
    x, t = task(rng)
    start = first_weights(rng)
    W1, b1, W2, b2 = parameters = [
        tg.Tensor(np.tile(array, (len(RATES), 1, 1)), requires_grad=True) for array in start
    ]
    rates = np.reshape(RATES, (-1, 1, 1))
    log = np.empty((updates, len(RATES), 3))
    for epoch in range(updates):
        output = tg.sigmoid(tg.sigmoid(x @ W1 + b1) @ W2 + b2)  # (rates, 20, 5)
        error = 0.5 * np.sum((output - t) ** 2, axis=(1, 2))
        np.sum(error).backward()
        for parameter in parameters:
            parameter.data -= rates * parameter.grad
            parameter.zero_grad()
        log[epoch] = np.stack([np.full(len(RATES), epoch), error.numpy(), RATES], axis=1)
    return log


def train_layers(seed: int, rate: float, updates: int) -> list[float]:
    """The losses with one rate, of ready layers and a ready optimiser: the same numbers."""
    rng = np.random.default_rng(seed)
    x, t = task(rng)
    net = nn.MLP(WIDTHS, activation="sigmoid", output="sigmoid", rng=rng)
    squares = nn.MSELoss(reduction="sum")
    optimizer = SGD(net.parameters(), lr=rate)
    losses = []
    for _ in range(updates):
        error = 0.5 * squares(net(x), t)
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        losses.append(error.item())
    return losses


def run(seed: int, quick: bool = False) -> float:
    """The last loss at rate 0.1 over the first one; infinite unless the largest rate stalls."""
    losses = train(seed, 1000 if quick else UPDATES)[..., 1]
    ratios = dict(zip(RATES, losses[-1] / losses[0], strict=True))
    return float(ratios[0.1]) if ratios[max(RATES)] > 0.5 else float("inf")


def reached(figure: float, quick: bool = False) -> bool:
    """Whether the network has learnt at that rate."""
    return figure < (0.2 if quick else 0.1)


def picture(folder: Path) -> Path:
    """Draw the loss curve of every rate."""
    from matplotlib import colormaps  # the extra `plot`
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="epoch", ylabel="E", xscale="log", yscale="log")
    axes.set_title("Too small is slow, too large stalls")
    axes.set_prop_cycle(color=colormaps["viridis"](np.linspace(0, 0.9, len(RATES))))
    axes.plot(np.arange(1, UPDATES + 1), train(0)[..., 1], label=[f"{rate:g}" for rate in RATES])
    axes.legend(title="rate")
    write_aside(path := folder / "08_learning_rates.png", figure.savefig)
    return path


if __name__ == "__main__":
    log = train(0)
    for curve in np.moveaxis(log, 1, 0):
        shown = "  ".join(f"{loss:8.4f}" for loss in curve[[0, 99, 999, 2999, -1], 1])
        print(f"rate {curve[0, 2]:<6g} E after 1, 100, 1000, 3000, 10000 updates: {shown}")
    print(f"last loss at rate 0.1: {run(0):.4f} of the first ({ASKED})")
    print(picture(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-output")))
